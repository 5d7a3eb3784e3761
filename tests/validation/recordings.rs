//! The recordings in `tests/recordings`, as far as they are compared.

use serde::Deserialize;
use serde_json::Value;

/// One recording, read from its file.
pub struct Recording(Value);

impl Recording {
    /// The recording in `tests/recordings/<name>.json`.
    pub fn read(name: &str) -> Self {
        let path = format!("{}/tests/recordings/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// What is at a JSON pointer.
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in the recording"))
    }

    /// The list at a JSON pointer.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().unwrap_or_else(|| panic!("{pointer} is no list"))
    }

    /// The seconds at a JSON pointer, in milliseconds.
    pub fn ms(&self, pointer: &str) -> f64 {
        ms(self.at(pointer))
    }

    /// The list of seconds at a JSON pointer, in milliseconds.
    pub fn all_ms(&self, pointer: &str) -> Vec<f64> {
        self.list(pointer).iter().map(ms).collect()
    }

    fn rows<T: for<'de> Deserialize<'de>>(&self) -> Vec<T> {
        serde_json::from_value(self.at("/rows").clone()).expect("rows as the columns say")
    }
}

/// Seconds of a recording in milliseconds.
pub fn ms(seconds: &Value) -> f64 {
    1000.0 * seconds.as_f64().expect("a number")
}

/// How a recorded pod lived until its deletion: seconds after its creation was sent.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Its process started.
    pub start: f64,
    /// Ready was seen.
    pub ready: f64,
    /// The first periodic relist after the first full status sync.
    pub first_relist: f64,
    /// The DELETE was sent.
    pub delete: f64,
}

/// A pod of B1. Times of the ending are seconds after the DELETE was sent.
pub struct Termination {
    pub pod: String,
    pub hook: Hook,
    pub grace: u64,
    pub grace_in_request: bool,
    pub app: String,
    pub life: Life,
    pub hook_end: Option<f64>,
    pub sigterm: f64,
    pub exit: f64,
    pub killed: bool,
    pub not_ready: f64,
    pub gone: f64,
}

/// A preStop hook of B1, with its seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    None,
    Sleep(u64),
    Exec(u64),
}

/// A pod of B2. Times of the ending are seconds after SIGTERM.
pub struct Deletion {
    pub pod: String,
    pub idle: bool,
    pub life: Life,
    /// After the DELETE was sent.
    pub sigterm: f64,
    pub not_ready: f64,
    pub gone: f64,
}

/// The pods of B1, in the order of the file.
pub fn terminations() -> Vec<Termination> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "a field for each column")]
    struct Row(
        String,
        String,
        String,
        u64,
        u64,
        String,
        String,
        f64,
        f64,
        f64,
        f64,
        Option<f64>,
        Option<f64>,
        f64,
        Option<f64>,
        f64,
        u8,
        f64,
        f64,
    );
    let termination = |r: Row| Termination {
        pod: r.0,
        hook: match r.2.as_str() {
            "sleep" => Hook::Sleep(r.3),
            "exec" => Hook::Exec(r.3),
            _ => Hook::None,
        },
        grace: r.4,
        app: r.5,
        grace_in_request: r.6 == "delete-request",
        life: Life { start: r.7, ready: r.8, first_relist: r.9, delete: r.10 },
        hook_end: r.12,
        sigterm: r.13,
        exit: r.15,
        killed: r.16 == 137,
        not_ready: r.17,
        gone: r.18,
    };
    Recording::read("b1_termination").rows().into_iter().map(termination).collect()
}

/// The pods of B2, in the order of the file.
pub fn deletions() -> Vec<Deletion> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "a field for each column")]
    struct Row(String, String, String, f64, f64, f64, f64, f64, f64, f64, f64);
    let deletion = |r: Row| Deletion {
        pod: r.0,
        idle: r.2 == "idle",
        life: Life { start: r.3, ready: r.4, first_relist: r.5, delete: r.6 },
        sigterm: r.7,
        not_ready: r.8,
        gone: r.10,
    };
    Recording::read("b2_delete_to_sigterm").rows().into_iter().map(deletion).collect()
}
