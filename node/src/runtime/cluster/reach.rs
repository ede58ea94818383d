//! Where others reach a node, beside the address on which its control plane listens.

use std::net::SocketAddr;

use airlift_protocol::cluster::{Address, Addresses};
use serde::{Deserialize, Serialize};

/// How others reach a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reach {
    /// Where the data plane listens; otherwise on a free port of the control plane's host, another
    /// one at each start.
    pub data_listen: Option<SocketAddr>,
    /// Where others are told to find the control plane, instead of where it listens.
    pub external: Vec<SocketAddr>,
    /// Where others are told to find the data plane, instead of where it listens.
    pub data_external: Vec<SocketAddr>,
}

impl Reach {
    /// What is given anew takes the place of what was.
    pub(super) fn or(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let given = |new: Vec<SocketAddr>, old: &[SocketAddr]| match new.is_empty() {
            true => old.to_vec(),
            false => new,
        };
        Self {
            data_listen: self.data_listen.or(earlier.data_listen),
            external: given(self.external, &earlier.external),
            data_external: given(self.data_external, &earlier.data_external),
        }
    }

    /// Where the data plane is to listen.
    pub(super) fn data_listen(&self, listen: SocketAddr) -> SocketAddr {
        self.data_listen.unwrap_or_else(|| SocketAddr::new(listen.ip(), 0))
    }

    /// What others are told, given where the planes listen.
    pub(super) fn addresses(
        &self,
        control: &[SocketAddr],
        data: SocketAddr,
        api: Option<SocketAddr>,
    ) -> Addresses {
        // A plane that listens on every interface is found on each of them.
        let data = match data.ip().is_unspecified() {
            true => control.iter().map(|at| SocketAddr::new(at.ip(), data.port())).collect(),
            false => vec![data],
        };
        let told = |external: &[SocketAddr], listening: &[SocketAddr]| {
            let told = if external.is_empty() { listening } else { external };
            told.iter().map(|at| Address(at.to_string())).collect()
        };
        Addresses {
            control: told(&self.external, control),
            data: told(&self.data_external, &data),
            api: api.map(|at| Address(at.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn texts(addresses: &[Address]) -> Vec<&str> {
        addresses.iter().map(|address| address.0.as_str()).collect()
    }

    #[test]
    fn others_are_told_where_it_listens_unless_they_reach_it_elsewhere() {
        let control = [at("192.0.2.1:7401"), at("[2001:db8::1]:7401")];
        let told = Reach::default().addresses(&control, at("192.0.2.1:9"), None);
        assert_eq!(texts(&told.control), ["192.0.2.1:7401", "[2001:db8::1]:7401"]);
        assert_eq!(texts(&told.data), ["192.0.2.1:9"]);
        let told = Reach::default().addresses(&control, at("0.0.0.0:9"), None);
        assert_eq!(texts(&told.data), ["192.0.2.1:9", "[2001:db8::1]:9"]);
        let reach = Reach {
            external: vec![at("198.51.100.1:1")],
            data_external: vec![at("198.51.100.1:2")],
            ..Reach::default()
        };
        let told = reach.addresses(&control, at("0.0.0.0:9"), Some(at("127.0.0.1:7400")));
        assert_eq!(texts(&told.control), ["198.51.100.1:1"]);
        assert_eq!(texts(&told.data), ["198.51.100.1:2"]);
        assert_eq!(told.api.unwrap().0, "127.0.0.1:7400");
    }

    #[test]
    fn what_is_given_anew_takes_the_place_of_what_was() {
        let first = Reach {
            data_listen: Some(at("192.0.2.1:7402")),
            external: vec![at("198.51.100.1:1")],
            data_external: Vec::new(),
        };
        assert_eq!(Reach::default().or(Some(&first)), first);
        assert_eq!(first.data_listen(at("10.0.0.1:1")), at("192.0.2.1:7402"));
        assert_eq!(Reach::default().or(None).data_listen(at("10.0.0.1:1")), at("10.0.0.1:0"));
        let anew = Reach { external: vec![at("198.51.100.2:1")], ..Reach::default() };
        let expected = Reach { external: anew.external.clone(), ..first.clone() };
        assert_eq!(anew.or(Some(&first)), expected);
    }
}
