# Thin names for cargo and scripts; what they do is written down there.

# Lists the recipes.
default:
    @just --list

# Read-only gate: formatting, lints, documentation, dependencies, all tests.
verify: format lint document deny test

[private]
format:
    cargo fmt --all --check

[private]
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

[private]
document $RUSTDOCFLAGS='-Dwarnings':
    cargo doc --workspace --no-deps --locked

[private]
deny:
    cargo deny --locked check bans licenses sources

# May write: formatting and the lints that clippy can mend.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all

# All tests, or those whose names contain FILTER.
test *FILTER:
    cargo test --workspace --locked {{FILTER}}

# The control plane under a virtual clock.
sim *FILTER:
    cargo test -p airlift-sim --locked {{FILTER}}

# Simulated lives, as many as fit into so many seconds; a violation ends them.
sim-long SECONDS='600' FIRST='0':
    cargo run --profile sim -p airlift-sim --locked -- --seconds {{SECONDS}} --first-seed {{FIRST}} --threads 2

# A cluster of real processes at work for so many minutes, while its nodes are killed and frozen: every
# result is compared, and memory, handles and disk must not grow.
soak MINUTES='5' *OPTIONS:
    cargo build --workspace --locked
    target/debug/soak --minutes {{MINUTES}} {{OPTIONS}}

# So many hours of a cluster's life in the simulator, with jobs again and again.
sim-hours HOURS='24' SEEDS='1':
    cargo run --profile sim -p airlift-sim --locked -- --hours {{HOURS}} --seeds {{SEEDS}} --threads 2

# What the program is made of, as CycloneDX; needs cargo-cyclonedx.
sbom:
    cargo cyclonedx --manifest-path node/Cargo.toml --format json --spec-version 1.5 --override-filename airlift.cdx

# Whether the simulator notices mistakes: builds and lives with one at a time.
mutants *OPTIONS:
    cargo run -p airlift-tests --bin mutants --locked -- {{OPTIONS}}

# Real processes and real servers.
e2e *FILTER:
    cargo test -p airlift-tests --test it --locked {{FILTER}}

# Fuzzes TARGET for so many seconds (docs/testing.md); needs a nightly compiler and cargo-fuzz.
fuzz TARGET SECONDS='300':
    cp Cargo.lock fuzz/Cargo.lock
    mkdir -p fuzz/found/{{TARGET}}
    cargo +nightly fuzz run --fuzz-dir fuzz --sanitizer none {{ if TARGET =~ 'node_.*' { '--features node' } else { '' } }} {{TARGET}} fuzz/found/{{TARGET}} fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}} -max_len=16384

# Against other tools on this machine, over a cable and over emulated links: a table of ratios.
bench *OPTIONS:
    cargo build --release --workspace --locked
    target/release/bench {{OPTIONS}}

# An emulated link between two namespaces, for trials by hand.
link *OPTIONS:
    cargo build --release --workspace --locked
    target/release/bench link {{OPTIONS}}
