//! What a job may use: the flags, the prices that they need, and `job budget`.

use std::borrow::Cow;
use std::ffi::OsStr;

use airlift_protocol::budget::{Budget, Money, Price, Prices};
use airlift_protocol::units::ByteCount;
use clap::Args;

use super::args::WORK;
use super::exit::CliError;
use super::format::count;
use super::job::JobArgs;
use crate::api::budget::{BudgetRequest, BudgetView, PricesText};
use crate::api::view::JobSummary;
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
    /// What it may cost, by the prices that it has, or else by those in airlift.toml; or off
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
            Some(money) => {
                let ends = [source, target].map(OsStr::to_string_lossy);
                Some((money, prices("--budget-money", ends, list)?))
            }
        };
        let bytes = self.budget_bytes.map(|count| count.0);
        Ok(Budget { bytes, requests: self.budget_requests, money })
    }
}

/// What the configuration says of prices at the two ends, for `flag`.
fn prices(flag: &str, ends: [Cow<'_, str>; 2], list: &PriceList) -> Result<Prices, CliError> {
    let found = ends.map(|location| {
        let name = location.split_once("://").map(|(name, _)| name.to_owned())?;
        let price = list.get(&name).copied();
        Some((name, price))
    });
    let missing = found.iter().flatten().find(|(_, price)| price.is_none());
    if let Some((name, _)) = missing {
        return Err(CliError::usage(format!(
            "{flag}: no prices are known for {name}://: write a table [prices.{name}] with \
             egress_per_gb and requests_per_1000 into airlift.toml"
        )));
    }
    let [source, target] = found.map(|found| found.and_then(|(_, price)| price));
    if source.is_none() && target.is_none() {
        return Err(CliError::usage(format!(
            "{flag} is about stores that charge, and neither end is one: leave it out"
        )));
    }
    let of = Option::<Price>::unwrap_or_default;
    let prices = Prices { source: of(source), target: of(target) };
    if prices == Prices::default() {
        return Err(CliError::usage(format!(
            "{flag}: all prices of the two ends are 0 in airlift.toml, so it bounds nothing: write what they \
             charge, or leave it out"
        )));
    }
    Ok(prices)
}

impl JobBudgetArgs {
    /// What is asked for, where the job is `job`. Prices that it has stay.
    ///
    /// # Errors
    /// When nothing is to change, or it has no prices and none are known.
    pub(super) fn request(
        &self,
        job: &JobSummary,
        list: &PriceList,
    ) -> Result<BudgetRequest, CliError> {
        if self.bytes.is_none() && self.requests.is_none() && self.money.is_none() {
            return Err(CliError::usage("say what is to change: --bytes, --requests or --money"));
        }
        let before = job.budget.as_ref();
        let money_before = before.and_then(|view| view.money.as_ref());
        let is_first = money_before.is_none() && matches!(self.money, Some(Change::To(_)));
        let ends = [&job.source, &job.target].map(|end| String::from_utf8_lossy(&end.0));
        let prices = is_first.then(|| prices("--money", ends, list)).transpose()?;
        let money = money_before.and_then(|part| part.limit.parse().ok());
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
            prices: prices.as_ref().map(PricesText::from),
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
    use crate::api::fake;
    use crate::api::text::ByteText;

    fn list() -> PriceList {
        let price = |egress| Price { egress_per_gb: Money(egress), requests_per_1000: Money(1) };
        PriceList::from([
            ("s3".to_owned(), price(5)),
            ("backup".to_owned(), price(7)),
            ("free".to_owned(), Price::default()),
        ])
    }

    fn job(source: &str, budget: Option<BudgetView>) -> JobSummary {
        let source = ByteText(source.as_bytes().to_vec());
        JobSummary { source, budget, ..fake::ended().job }
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
        assert!(resolve("free://a", "s3://b").is_ok());
        let nothing = resolve("free://a", "./b").unwrap_err();
        assert!(nothing.contains("so it bounds nothing: write what they"), "{nothing}");
    }

    #[test]
    fn a_first_budget_of_money_takes_its_prices_from_the_configuration() {
        let money = |change| JobBudgetArgs {
            job: JobArgs::for_test(),
            bytes: None,
            requests: None,
            money: Some(change),
        };
        let asked = money(Change::To(Money(9)));
        let request = asked.request(&job("backup://a/x", None), &list()).unwrap();
        let source = request.prices.unwrap().source;
        assert_eq!(source.egress_per_gb.as_deref(), Some("0.000007"));
        let refused = asked.request(&job("gs://a/x", None), &list()).unwrap_err().message;
        assert!(refused.starts_with("--money: no prices are known for gs://"), "{refused}");
        let off = money(Change::Off).request(&job("gs://a/x", None), &list()).unwrap();
        assert_eq!((off.money, off.prices), (None, None));
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
        let bounded = job("s3://a/x", Some(before.clone()));
        let request = args.request(&bounded, &list()).unwrap();
        assert_eq!((request.bytes, request.requests), (Some(9), None));
        assert_eq!((request.money.as_deref(), request.prices), (Some("7.50"), None));
        let nothing = JobBudgetArgs { bytes: None, requests: None, ..args };
        let refused = nothing.request(&bounded, &list()).unwrap_err().message;
        assert!(refused.contains("--bytes"), "{refused}");
        assert_eq!(lines(&before)[0], "budget      1 B of 5 B read");
        assert_eq!(lines(&before)[2], "budget      0.01 of 7.50 spent");
    }
}
