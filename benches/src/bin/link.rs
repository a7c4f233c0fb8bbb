//! A network between two namespaces, until Ctrl-C or the end of its input:
//!
//! ```sh
//! link --rate 200mbit --rtt 20ms --loss 1% --queue 1bdp
//! ```
//!
//! It prints the namespaces with their addresses, for `ip netns exec NAME PROGRAM`, and in the end
//! what it carried. Needs root.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("link: namespaces and TUN devices are Linux's");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod linux {
    use adit_benches::link::{
        Link, Loss, Namespace, Queue, Rate, Side, Spec, remove_stale, round_trip,
    };
    use clap::{Arg, ArgMatches, Command, value_parser};
    use std::io::{self, Write as _};
    use std::process::ExitCode;
    use std::time::Duration;
    use tokio::io::AsyncReadExt as _;
    use tokio::signal::unix::{SignalKind, signal};

    pub(crate) fn main() -> ExitCode {
        match run(&options().get_matches()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("link: {e}");
                ExitCode::FAILURE
            }
        }
    }

    fn options() -> Command {
        let usual = Spec::default();
        Command::new("link")
            .about("A network between two namespaces, until Ctrl-C or the end of its input")
            .args([
                Arg::new("rate")
                    .long("rate")
                    .value_name("RATE")
                    .value_parser(str::parse::<Rate>)
                    .help("What each direction carries, as 200mbit; as much as it can if left out"),
                Arg::new("rtt")
                    .long("rtt")
                    .value_name("TIME")
                    .default_value("0ms")
                    .value_parser(round_trip)
                    .help("The least round trip, half of it each way"),
                Arg::new("loss")
                    .long("loss")
                    .value_name("SHARE")
                    .default_value("0%")
                    .value_parser(str::parse::<Loss>)
                    .help("Packets lost by chance, each way"),
                Arg::new("queue")
                    .long("queue")
                    .value_name("LENGTH")
                    .default_value("1bdp")
                    .value_parser(str::parse::<Queue>)
                    .help("What waits in front of the line, as 1bdp or 256k, before packets are dropped"),
                Arg::new("seed")
                    .long("seed")
                    .value_name("NUMBER")
                    .default_value(usual.seed.to_string())
                    .value_parser(value_parser!(u64))
                    .help("Decides which packets are lost"),
                Arg::new("congestion")
                    .long("congestion")
                    .value_name("NAME")
                    .default_value(usual.congestion)
                    .help("TCP's congestion control inside"),
                Arg::new("buffers")
                    .long("buffers")
                    .value_name("BYTES")
                    .default_value(usual.buffers.to_string())
                    .value_parser(value_parser!(u32).range(4096..=i64::from(i32::MAX)))
                    .help("TCP's largest receive and send buffer inside"),
                Arg::new("between")
                    .long("between")
                    .value_names(["NAME_A", "NAME_B"])
                    .num_args(2)
                    .help("Join these namespaces, instead of two new ones"),
            ])
    }

    fn spec(options: &ArgMatches) -> Spec {
        let usual = Spec::default();
        Spec {
            rate: options.get_one("rate").copied(),
            rtt: *options.get_one::<Duration>("rtt").unwrap_or(&usual.rtt),
            loss: *options.get_one("loss").unwrap_or(&usual.loss),
            queue: *options.get_one("queue").unwrap_or(&usual.queue),
            seed: *options.get_one("seed").unwrap_or(&usual.seed),
            congestion: options
                .get_one("congestion")
                .cloned()
                .unwrap_or(usual.congestion),
            buffers: *options.get_one("buffers").unwrap_or(&usual.buffers),
        }
    }

    fn run(options: &ArgMatches) -> io::Result<()> {
        let spec = spec(options);
        let names: Vec<&String> = options.get_many("between").into_iter().flatten().collect();
        // Before there is anything to clean up, so that no signal comes too early.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let end = runtime.block_on(async { End::watch() })?;
        remove_stale()?;
        let link = match names.as_slice() {
            [a, b] => Link::between(&spec, [Namespace::existing(a)?, Namespace::existing(b)?])?,
            _ => Link::start(&spec)?,
        };
        let mut out = io::stdout();
        writeln!(out, "{spec}")?;
        for side in [Side::A, Side::B] {
            let name = link.end(side).name();
            writeln!(out, "{side:?}: {name} {}", side.address())?;
        }
        out.flush()?;
        runtime.block_on(end.comes());
        let [a, b] = link.stop()?;
        writeln!(out, "from A: {a}\nfrom B: {b}")?;
        // A thread of tokio may still wait for input.
        runtime.shutdown_background();
        Ok(())
    }

    /// What ends the link: a signal, or the end of the input.
    struct End {
        interrupt: tokio::signal::unix::Signal,
        terminate: tokio::signal::unix::Signal,
    }

    impl End {
        fn watch() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        async fn comes(mut self) {
            let input = async {
                let mut input = tokio::io::stdin();
                let mut ignored = [0; 256];
                while input.read(&mut ignored).await.is_ok_and(|n| n > 0) {}
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                () = input => {}
            }
        }
    }
}
