//! What stores charge: `[prices.NAME]` tables, where a name is what locations begin with.
//!
//! No price is part of the program: a list of them would be wrong soon.

use std::collections::BTreeMap;
use std::path::Path;

use airlift_protocol::budget::{Money, Price};

use super::ConfigError;
use super::setting::advice;

const EGRESS: &str = "egress_per_gb";
const REQUESTS: &str = "requests_per_1000";

/// Prices by the scheme or the store's name that locations begin with.
pub type PriceList = BTreeMap<String, Price>;

/// Reads the tables below `[prices]` of the file at `path`.
pub(super) fn read(value: toml::Value, path: &Path) -> Result<PriceList, ConfigError> {
    let toml::Value::Table(tables) = value else {
        let path = path.display();
        return Err(ConfigError(format!("'prices' in {path} is no table: write [prices.s3]")));
    };
    tables.into_iter().map(|(name, table)| read_table(name, table, path)).collect()
}

fn read_table(
    name: String,
    table: toml::Value,
    path: &Path,
) -> Result<(String, Price), ConfigError> {
    let at = |text: String| {
        let name = name.escape_debug();
        ConfigError(format!("[prices.{name}] in {}: {text}", path.display()))
    };
    let toml::Value::Table(table) = table else {
        return Err(at(format!("it is no table: write [prices.{name}], then {EGRESS} = \"0.09\"")));
    };
    if let Some(other) = table.keys().find(|key| ![EGRESS, REQUESTS].contains(&key.as_str())) {
        let (other, advice) = (other.escape_debug(), advice(other, [EGRESS, REQUESTS].into_iter()));
        return Err(at(format!("unknown key '{other}': {advice}")));
    }
    // Taken for 0, a price that was forgotten would let a job use more than it may.
    let amount = |field: &str| {
        let missing = || at(format!("it has no {field}: write it, as \"0\" where it is free"));
        let value = table.get(field).ok_or_else(missing)?;
        money(value).map_err(|why| at(format!("{field}: {why}")))
    };
    let price = Price { egress_per_gb: amount(EGRESS)?, requests_per_1000: amount(REQUESTS)? };
    Ok((name, price))
}

/// An amount as a text, so that no binary fraction comes between, or a whole number.
fn money(value: &toml::Value) -> Result<Money, String> {
    match value {
        toml::Value::String(text) => text.parse().map_err(|error| format!("{error}")),
        toml::Value::Integer(number) => {
            number.to_string().parse().map_err(|error| format!("{error}"))
        }
        other => Err(format!(
            "a {} is no amount: write it as a text, such as \"0.09\"",
            other.type_str()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PriceList, String> {
        let table: toml::Table = toml::from_str(text).unwrap();
        let prices = table.get("prices").unwrap().clone();
        read(prices, Path::new("/x/airlift.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn prices_are_read_by_the_name_that_locations_begin_with() {
        let list = parse(
            "[prices.s3]\negress_per_gb = '0.09'\nrequests_per_1000 = '0.0004'\n\
             [prices.backup]\negress_per_gb = 1\nrequests_per_1000 = '0'\n",
        );
        let list = list.unwrap();
        assert_eq!(list["s3"].egress_per_gb, Money(90_000));
        assert_eq!(list["s3"].requests_per_1000, Money(400));
        assert_eq!(list["backup"].egress_per_gb, Money(1_000_000));
    }

    #[test]
    fn what_is_no_price_is_said_where_it_is() {
        for (text, expected) in [
            ("prices = 1", "'prices' in /x/airlift.toml is no table"),
            ("[prices]\ns3 = 1", "[prices.s3] in /x/airlift.toml: it is no table"),
            ("[prices.s3]\nper_gb = '1'", "[prices.s3] in /x/airlift.toml: unknown key 'per_gb'"),
            ("[prices.s3]\negress_per_gb = 0.09", "a float is no amount: write it as a text"),
            ("[prices.s3]\negress_per_gb = '$5'", "egress_per_gb: '$5' is no amount of money"),
            ("[prices.s3]", "it has no egress_per_gb"),
            (
                "[prices.s3]\negress_per_gb = '1'",
                "it has no requests_per_1000: write it, as \"0\" where it is free",
            ),
            (
                "[prices]\negress_per_gb = '1'",
                "[prices.egress_per_gb] in /x/airlift.toml: it is no",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
