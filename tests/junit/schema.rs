//! A validator for as much of XML Schema as `docs/junit.xsd` uses. What it does not know of a schema is an error, so that
//! nothing is passed over.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

const NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema";

/// A schema that was read.
pub struct Schema<'a> {
    elements: BTreeMap<&'a str, Node<'a, 'a>>,
    types: BTreeMap<&'a str, Node<'a, 'a>>,
}

impl<'a> Schema<'a> {
    /// Reads it.
    pub fn new(document: &'a Document<'a>) -> Result<Self, String> {
        let root = document.root_element();
        let (mut elements, mut types) = (BTreeMap::new(), BTreeMap::new());
        for node in parts(root)? {
            let name = node.attribute("name").ok_or("a part of the schema without a name")?;
            match node.tag_name().name() {
                "element" => elements.insert(name, node),
                "simpleType" => types.insert(name, node),
                other => return Err(format!("xs:{other} at the top of the schema")),
            };
        }
        let schema = Self { elements, types };
        schema.elements.values().try_for_each(|element| schema.readable(*element))?;
        Ok(schema)
    }

    /// What is wrong with a document by this schema; nothing: it is valid.
    pub fn errors(&self, document: &Document<'_>) -> Vec<String> {
        let mut errors = Vec::new();
        self.element(document.root_element(), &mut errors);
        errors
    }

    /// Whether all that an element says is known here.
    fn readable(&self, element: Node<'_, '_>) -> Result<(), String> {
        for node in element.descendants().filter(Node::is_element) {
            let (name, known): (&str, &[&str]) = match node.tag_name().name() {
                "element" if node == element => ("element", &["name"]),
                "element" => ("element", &["ref", "minOccurs", "maxOccurs"]),
                "complexType" => ("complexType", &["mixed"]),
                name @ ("sequence" | "choice") => (name, &["minOccurs", "maxOccurs"]),
                "attribute" => ("attribute", &["name", "type", "use"]),
                other => return Err(format!("xs:{other} in an element")),
            };
            if let Some(attribute) = node.attributes().find(|a| !known.contains(&a.name())) {
                return Err(format!("{} of xs:{name}", attribute.name()));
            }
            if let Some(of) = node.attribute("ref").filter(|of| !self.elements.contains_key(of)) {
                return Err(format!("a reference to <{of}>, which is not there"));
            }
            if let Some(of) = node.attribute("type") {
                self.value(of, "1").map(|_| ())?;
            }
        }
        Ok(())
    }

    fn element(&self, node: Node<'_, '_>, errors: &mut Vec<String>) {
        let name = node.tag_name().name();
        let Some(declared) = self.elements.get(name).filter(|_| node.tag_name().namespace().is_none()) else {
            errors.push(format!("<{name}> is no element of the schema"));
            return;
        };
        let of = declared.children().find(Node::is_element).expect("a complexType");
        let inside: Vec<Node<'_, '_>> = of.children().filter(Node::is_element).collect();
        let (attributes, content): (Vec<_>, Vec<_>) =
            inside.into_iter().partition(|n| n.has_tag_name((NAMESPACE, "attribute")));
        for attribute in node.attributes() {
            match attributes.iter().find(|a| a.attribute("name") == Some(attribute.name())) {
                None => errors.push(format!("<{name}> has {}", attribute.name())),
                Some(a) => {
                    let of = a.attribute("type").unwrap_or("xs:string");
                    if self.value(of, attribute.value()) != Ok(true) {
                        errors.push(format!("{} of <{name}> is no {of}: {}", attribute.name(), attribute.value()));
                    }
                }
            }
        }
        for required in attributes.iter().filter(|a| a.attribute("use") == Some("required")) {
            let wanted = required.attribute("name").unwrap_or_default();
            if !node.has_attribute(wanted) {
                errors.push(format!("<{name}> lacks {wanted}"));
            }
        }
        let text = node.children().filter(Node::is_text).filter_map(|n| n.text()).any(|t| !t.trim().is_empty());
        if text && of.attribute("mixed") != Some("true") {
            errors.push(format!("<{name}> contains text"));
        }
        let children: Vec<&str> = node.children().filter(Node::is_element).map(|n| n.tag_name().name()).collect();
        let ends = content.iter().fold(vec![0], |ends, particle| {
            ends.into_iter().flat_map(|from| repeated(*particle, &children, from)).collect()
        });
        if !ends.contains(&children.len()) {
            errors.push(format!("<{name}> may not contain {children:?}"));
        }
        node.children().filter(Node::is_element).for_each(|child| self.element(child, errors));
    }

    /// Whether a text is of a type; an error if the type is not known.
    fn value(&self, of: &str, text: &str) -> Result<bool, String> {
        let number = || text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        match of {
            "xs:string" => return Ok(true),
            "xs:nonNegativeInteger" => return Ok(number().is_some()),
            "xs:positiveInteger" => return Ok(number().is_some_and(|n| n > 0)),
            _ => {}
        }
        let declared = self.types.get(of).ok_or_else(|| format!("the type {of}"))?;
        let restriction = parts(*declared)?.into_iter().next().ok_or("a type without a restriction")?;
        let mut values = parts(restriction)?.into_iter();
        if let Some(other) = values.clone().find(|n| !n.has_tag_name((NAMESPACE, "enumeration"))) {
            return Err(format!("xs:{} in a type", other.tag_name().name()));
        }
        Ok(values.any(|n| n.attribute("value") == Some(text)))
    }
}

/// The parts of a schema's node, all of which must be of the schema's language.
fn parts<'a>(node: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, String> {
    let parts: Vec<Node<'a, 'a>> = node.children().filter(Node::is_element).collect();
    match parts.iter().find(|n| n.tag_name().namespace() != Some(NAMESPACE)) {
        Some(foreign) => Err(format!("<{}> in a schema", foreign.tag_name().name())),
        None => Ok(parts),
    }
}

/// Where a particle, as often as it may be, can end that begins at a child.
fn repeated(particle: Node<'_, '_>, children: &[&str], from: usize) -> Vec<usize> {
    let occurs = |name| particle.attribute(name).unwrap_or("1");
    let least: usize = occurs("minOccurs").parse().expect("a number");
    let most = match occurs("maxOccurs") {
        "unbounded" => children.len() + least,
        number => number.parse().expect("a number"),
    };
    let mut ends = Vec::new();
    let mut here = vec![from];
    for count in 0..=most {
        if count >= least {
            ends.extend(here.iter().copied().filter(|end| !ends.contains(end)).collect::<Vec<usize>>());
        }
        here = here.into_iter().flat_map(|from| once(particle, children, from)).collect();
        here.sort_unstable();
        here.dedup();
    }
    ends
}

fn once(particle: Node<'_, '_>, children: &[&str], from: usize) -> Vec<usize> {
    let inside = || particle.children().filter(Node::is_element);
    match particle.tag_name().name() {
        "element" if children.get(from).copied() == particle.attribute("ref") => vec![from + 1],
        "element" => Vec::new(),
        "choice" => inside().flat_map(|p| repeated(p, children, from)).collect(),
        _ => {
            inside().fold(vec![from], |ends, p| ends.into_iter().flat_map(|from| repeated(p, children, from)).collect())
        }
    }
}
