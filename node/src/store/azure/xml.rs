//! The documents of the service: listings, lists of blocks, errors.
//!
//! Read into a small tree, byte for byte: a name of nothing but blanks is a name.

use std::fmt;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// Elements within each other that a document of the service has at most.
const DEPTH_MAX: usize = 16;

/// One element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Self>,
    attributes: Vec<(String, String)>,
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct XmlError(String);

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong(error: impl fmt::Display) -> XmlError {
    XmlError(error.to_string())
}

impl Element {
    /// The root element of a document.
    pub(super) fn parse(document: &[u8]) -> Result<Self, XmlError> {
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let document = std::str::from_utf8(document).map_err(wrong)?;
        let mut reader = Reader::from_str(document);
        let mut open: Vec<Self> = vec![Self::default()];
        loop {
            let event = reader.read_event().map_err(wrong)?;
            let depth = open.len();
            let Some(inner) = open.last_mut() else { return Err(wrong("it ends twice")) };
            match event {
                Event::Start(start) if depth > DEPTH_MAX => {
                    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
                    return Err(wrong(format!("{name} lies too deep")));
                }
                Event::Start(start) => open.push(Self::begin(&start)?),
                Event::Empty(empty) => inner.children.push(Self::begin(&empty)?),
                Event::End(_) => {
                    let done = open.pop().ok_or_else(|| wrong("it ends twice"))?;
                    let outer = open.last_mut().ok_or_else(|| wrong("it ends twice"))?;
                    outer.children.push(done);
                }
                Event::Text(text) => inner.text.push_str(&text.decode().map_err(wrong)?),
                Event::CData(text) => inner.text.push_str(&text.decode().map_err(wrong)?),
                Event::GeneralRef(reference) => {
                    match reference.resolve_char_ref().map_err(wrong)? {
                        Some(character) => inner.text.push(character),
                        None => {
                            let name = reference.decode().map_err(wrong)?;
                            let known = resolve_predefined_entity(&name);
                            inner.text.push_str(known.ok_or_else(|| wrong("unknown entity"))?);
                        }
                    }
                }
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(mut document), true) if document.children.len() == 1 => {
                Ok(document.children.remove(0))
            }
            _ => Err(wrong("it does not have one root")),
        }
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, XmlError> {
        let name = std::str::from_utf8(start.name().as_ref()).map_err(wrong)?.to_owned();
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(wrong)?;
            let name = std::str::from_utf8(attribute.key.as_ref()).map_err(wrong)?.to_owned();
            let value = std::str::from_utf8(&attribute.value).map_err(wrong)?.to_owned();
            attributes.push((name, value));
        }
        Ok(Self { name, attributes, ..Self::default() })
    }

    /// The first element of that name directly within this one.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of that name, when there is one and it has text.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }

    /// All elements of that name directly within this one.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree_with_exact_texts() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><R a='1'><Name> x&amp;&#65; </Name>\
             <Name> </Name><E/><!-- c --><B><C><![CDATA[<]]></C></B></R>";
        let root = Element::parse(text.as_bytes()).unwrap();
        assert_eq!((root.name.as_str(), root.attribute("a")), ("R", Some("1")));
        let names: Vec<&str> = root.all("Name").map(|name| name.text.as_str()).collect();
        assert_eq!(names, [" x&A ", " "]);
        assert_eq!(root.child("B").and_then(|b| b.text_of("C")), Some("<"));
        assert_eq!(root.text_of("E"), None);
        assert!(root.child("E").is_some() && root.child("D").is_none());
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        for text in ["", "text", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a>&x;</a>", &deep] {
            assert!(Element::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }
}
