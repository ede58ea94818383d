//! The names of one directory, sorted as the keys below them are, in one piece of memory.

/// Names in a compact form: those of directories end in `/`, which is what puts `a.txt` before
/// `a/b`.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name begins and how many bytes it has.
    places: Vec<(usize, u16)>,
}

impl Names {
    /// Adds a name of at most 255 bytes, as the system gives it.
    pub(super) fn push(&mut self, name: &[u8], is_directory: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if is_directory {
            self.bytes.push(b'/');
        }
        self.places.push((start, (self.bytes.len() - start) as u16));
    }

    /// Puts the names in byte order.
    pub(super) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.places.sort_unstable_by(|&one, &other| slice(bytes, one).cmp(slice(bytes, other)));
    }

    /// The name at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        self.places.get(index).map(|&place| slice(&self.bytes, place))
    }

    /// Whether there is no name.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

fn slice(bytes: &[u8], (start, length): (usize, u16)) -> &[u8] {
    &bytes[start..start + usize::from(length)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_sort_by_the_keys_below_them() {
        let mut names = Names::default();
        for (name, is_directory) in
            [(&b"a"[..], true), (b"b", false), (b"a.txt", false), (b"a0", false), (b"a-b", true)]
        {
            names.push(name, is_directory);
        }
        names.sort();
        let sorted: Vec<&[u8]> = (0..5).filter_map(|index| names.get(index)).collect();
        assert_eq!(sorted, [&b"a-b/"[..], b"a.txt", b"a/", b"a0", b"b"]);
        assert_eq!(names.get(5), None);
    }
}
