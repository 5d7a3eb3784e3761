//! Which containers are started again.

use super::table;
use drainsim::scenario::{Input, Scenario};

/// `pkg/api/v1/pod/util.go` ContainerShouldRestart, `pkg/kubelet/container/helpers.go` ShouldContainerBeRestarted;
/// `helpers_test.go` TestShouldContainerBeRestarted. A row: the pod's policy, which container, its exit code.
pub fn check() -> usize {
    let rows: [((&str, Which, u32), bool); 15] = [
        (("Always", Which::Main, 0), true),
        (("Always", Which::Main, 1), true),
        (("Always", Which::Main, 137), true),
        (("OnFailure", Which::Main, 0), false),
        (("OnFailure", Which::Main, 1), true),
        (("OnFailure", Which::Main, 137), true),
        (("Never", Which::Main, 0), false),
        (("Never", Which::Main, 1), false),
        // a sidecar has a policy of its own
        (("Never", Which::Sidecar, 0), true),
        (("OnFailure", Which::Sidecar, 0), true),
        // an init container that has ended well is done
        (("Always", Which::Init, 0), false),
        (("Always", Which::Init, 1), true),
        (("OnFailure", Which::Init, 1), true),
        (("Never", Which::Init, 0), false),
        (("Never", Which::Init, 1), false),
    ];
    table(
        "pkg/kubelet/container/helpers_test.go TestShouldContainerBeRestarted",
        &rows,
        |(policy, which, exit_code)| {
            let text = format!(
                "apiVersion: drainsim/v1alpha1\nkind: Scenario\nmetadata: {{name: restarts}}\nspec: {{duration: 1m, nodes: [{{name: node-1}}]}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  nodeName: node-1\n  restartPolicy: {policy}\n  \
             containers: [{{name: main, image: example/web:1}}]\n  initContainers:\n    - {{name: init, image: example/web:1}}\n    \
             - {{name: sidecar, image: example/web:1, restartPolicy: Always}}\n"
            );
            let input = Input::Builtin { name: "restarts".into(), text };
            let scenario = Scenario::load(&[input], &[]).unwrap_or_else(|problems| panic!("{problems}"));
            let template = &scenario.setup.templates[0];
            let name = match which {
                Which::Main => "main",
                Which::Init => "init",
                Which::Sidecar => "sidecar",
            };
            let number = template.all_containers().position(|c| c.name == name).expect("it is there");
            template.restarts(u8::try_from(number).expect("a small number"), *exit_code)
        },
    )
}

/// A container of the pod.
#[derive(Clone, Copy, Debug)]
enum Which {
    Main,
    Init,
    Sidecar,
}
