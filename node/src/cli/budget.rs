//! What a job may use: the flags, the prices that they need, and `job budget`.

use std::ffi::OsStr;

use airlift_protocol::budget::{Budget, Money, Price, Prices};
use airlift_protocol::units::ByteCount;
use clap::Args;

use super::args::WORK;
use super::exit::CliError;
use super::format::count;
use super::job::JobArgs;
use crate::api::budget::{BudgetRequest, BudgetView};
use crate::config::PriceList;

/// Flags that bound what a job may use.
#[derive(Clone, Debug, Default, Args)]
pub struct BudgetArgs {
    /// Stop the job before it reads more than this many bytes, such as 2T; what is done stays done
    #[arg(long, value_name = "SIZE", help_heading = WORK)]
    pub budget_bytes: Option<ByteCount>,
    /// Stop the job when it has made this many requests to stores
    #[arg(long, value_name = "N", help_heading = WORK)]
    pub budget_requests: Option<u64>,
    /// Stop the job before it costs more than this, such as 250.00, by the prices in airlift.toml
    #[arg(long, value_name = "AMOUNT", help_heading = WORK)]
    pub budget_money: Option<Money>,
}

/// `job budget`.
#[derive(Clone, Debug, Args)]
pub struct JobBudgetArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Bytes that it may read, such as 2T; or off
    #[arg(long, value_name = "SIZE|off", value_parser = parse_bytes)]
    pub bytes: Option<Change<u64>>,
    /// Requests that it may make; or off
    #[arg(long, value_name = "N|off", value_parser = parse_requests)]
    pub requests: Option<Change<u64>>,
    /// What it may cost, by the prices that it was submitted with; or off
    #[arg(long, value_name = "AMOUNT|off", value_parser = parse_money)]
    pub money: Option<Change<Money>>,
}

/// What becomes of one bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// There is none any more.
    Off,
    /// It is this.
    To(T),
}

impl<T> Change<T> {
    fn apply(change: Option<Self>, before: Option<T>) -> Option<T> {
        match change {
            None => before,
            Some(Self::Off) => None,
            Some(Self::To(value)) => Some(value),
        }
    }
}

fn parse<T>(text: &str, value: impl Fn(&str) -> Result<T, String>) -> Result<Change<T>, String> {
    match text {
        "off" => Ok(Change::Off),
        text => value(text).map(Change::To).map_err(|error| format!("{error}; or write off")),
    }
}

fn parse_bytes(text: &str) -> Result<Change<u64>, String> {
    parse(text, |text| {
        text.parse::<ByteCount>().map(|count| count.0).map_err(|error| error.to_string())
    })
}

fn parse_requests(text: &str) -> Result<Change<u64>, String> {
    parse(text, |text| text.parse().map_err(|_| format!("'{text}' is no number of requests")))
}

fn parse_money(text: &str) -> Result<Change<Money>, String> {
    parse(text, |text| text.parse::<Money>().map_err(|error| error.to_string()))
}

impl BudgetArgs {
    /// The budget, with what the configuration says of prices at the two ends.
    ///
    /// # Errors
    /// When it is about money, and no price is known.
    pub fn resolve(
        &self,
        source: &OsStr,
        target: &OsStr,
        list: &PriceList,
    ) -> Result<Budget, CliError> {
        let money = match self.budget_money {
            None => None,
            Some(money) => Some((money, prices(source, target, list)?)),
        };
        let bytes = self.budget_bytes.map(|count| count.0);
        Ok(Budget { bytes, requests: self.budget_requests, money })
    }
}

fn prices(source: &OsStr, target: &OsStr, list: &PriceList) -> Result<Prices, CliError> {
    let found = [source, target].map(|location| {
        let text = location.to_string_lossy();
        let name = text.split_once("://").map(|(name, _)| name.to_owned())?;
        let price = list.get(&name).copied();
        Some((name, price))
    });
    let missing = found.iter().flatten().find(|(_, price)| price.is_none());
    if let Some((name, _)) = missing {
        return Err(CliError::usage(format!(
            "--budget-money: no prices are known for {name}://: write a table [prices.{name}] with \
             egress_per_gb and requests_per_1000 into airlift.toml"
        )));
    }
    let [source, target] = found.map(|found| found.and_then(|(_, price)| price));
    if source.is_none() && target.is_none() {
        return Err(CliError::usage(
            "--budget-money is about stores that charge, and neither end is one: leave it out",
        ));
    }
    let of = Option::<Price>::unwrap_or_default;
    Ok(Prices { source: of(source), target: of(target) })
}

impl JobBudgetArgs {
    /// What is asked for, where the job has `before`.
    ///
    /// # Errors
    /// When nothing is to change.
    pub(super) fn request(&self, before: Option<&BudgetView>) -> Result<BudgetRequest, CliError> {
        if self.bytes.is_none() && self.requests.is_none() && self.money.is_none() {
            return Err(CliError::usage("say what is to change: --bytes, --requests or --money"));
        }
        let money = before.and_then(|view| view.money.as_ref()?.limit.parse().ok());
        let money = Change::apply(self.money, money);
        Ok(BudgetRequest {
            bytes: Change::apply(
                self.bytes,
                before.and_then(|view| Some(view.bytes.as_ref()?.limit)),
            ),
            requests: Change::apply(
                self.requests,
                before.and_then(|view| Some(view.requests.as_ref()?.limit)),
            ),
            money: money.map(|money| money.to_string()),
            prices: None,
        })
    }
}

/// The lines of `job show`.
pub(super) fn lines(view: &BudgetView) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(bytes) = &view.bytes {
        let (used, limit) = (ByteCount(bytes.used), ByteCount(bytes.limit));
        lines.push(format!("budget      {used} of {limit} read"));
    }
    if let Some(requests) = &view.requests {
        lines.push(format!(
            "budget      {} of {} requests",
            count(requests.used),
            count(requests.limit)
        ));
    }
    if let Some(money) = &view.money {
        lines.push(format!("budget      {} of {} spent", money.used, money.limit));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::budget::Part;

    fn list() -> PriceList {
        let price = |egress| Price { egress_per_gb: Money(egress), requests_per_1000: Money(1) };
        PriceList::from([("s3".to_owned(), price(5)), ("backup".to_owned(), price(7))])
    }

    fn resolve(source: &str, target: &str) -> Result<Budget, String> {
        let args = BudgetArgs { budget_money: Some(Money(9)), ..BudgetArgs::default() };
        let resolved = args.resolve(OsStr::new(source), OsStr::new(target), &list());
        resolved.map_err(|error| error.message)
    }

    #[test]
    fn prices_are_those_of_the_two_ends() {
        let (money, prices) = resolve("s3://a/x", "backup://b").unwrap().money.unwrap();
        assert_eq!(money, Money(9));
        let egress =
            |prices: &Prices| (prices.source.egress_per_gb.0, prices.target.egress_per_gb.0);
        assert_eq!(egress(&prices), (5, 7));
        let (_, prices) = resolve("./here", "s3://b").unwrap().money.unwrap();
        assert_eq!(egress(&prices), (0, 5));
        assert!(resolve("gs://a", "s3://b").unwrap_err().contains("[prices.gs]"));
        assert!(resolve("./a", "berlin:/b").unwrap_err().contains("neither end"));
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_is() {
        assert_eq!(parse_bytes("2K"), Ok(Change::To(2048)));
        assert_eq!(parse_money("off"), Ok(Change::Off));
        assert!(parse_requests("many").unwrap_err().contains("or write off"));
        let before = BudgetView {
            bytes: Some(Part { limit: 5, used: 1 }),
            requests: Some(Part { limit: 6, used: 2 }),
            money: Some(Part { limit: "7.50".to_owned(), used: "0.01".to_owned() }),
        };
        let args = JobBudgetArgs {
            job: JobArgs::for_test(),
            bytes: Some(Change::To(9)),
            requests: Some(Change::Off),
            money: None,
        };
        let request = args.request(Some(&before)).unwrap();
        assert_eq!((request.bytes, request.requests), (Some(9), None));
        assert_eq!(request.money.as_deref(), Some("7.50"));
        let nothing = JobBudgetArgs { bytes: None, requests: None, ..args };
        assert!(nothing.request(None).unwrap_err().message.contains("--bytes"));
        assert_eq!(lines(&before)[0], "budget      1 B of 5 B read");
        assert_eq!(lines(&before)[2], "budget      0.01 of 7.50 spent");
    }
}
