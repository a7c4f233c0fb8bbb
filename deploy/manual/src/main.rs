//! `adit-manual FOLDER`: manual pages and shell completions, from the definitions that the programs themselves read their flags by.
//!
//! They lie in FOLDER as they do below `/usr/local/share`. A program of its own, so that those that are shipped don't carry what writes them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

/// Where each shell looks for completions.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Where `man` looks for commands.
const MAN: &str = "man/man1";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(folder), None) = (args.next(), args.next()) else {
        eprintln!("usage: adit-manual FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: can't write to {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Of the pages of one name the last one stays: `adit-server` is the program, which has the flags of `adit server`.
fn write(folder: &Path) -> io::Result<()> {
    for command in adit_settings::command_lines() {
        manual(&command, &folder.join(MAN))?;
        let name = command.get_name().to_owned();
        for (shell, below) in SHELLS {
            let folder = folder.join(below);
            fs::create_dir_all(&folder)?;
            let path = clap_complete::generate_to(shell, &mut command.clone(), &name, &folder)?;
            if shell == Shell::Bash {
                // It is looked for by the name of the program alone.
                fs::rename(path, folder.join(&name))?;
            }
        }
    }
    Ok(())
}

fn manual(command: &Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command, with the words that lead to it.
    fn all(command: &Command, before: &str) -> Vec<(String, Command)> {
        let words = format!("{before}{}", command.get_name());
        let below = command.get_subcommands();
        let mut found: Vec<_> = below
            .flat_map(|sub| all(sub, &format!("{words}-")))
            .collect();
        found.push((words, command.clone()));
        found
    }

    fn flags(command: &Command) -> Vec<String> {
        let named = command.get_arguments().filter_map(|arg| arg.get_long());
        named.map(|long| format!("--{long}")).collect()
    }

    /// What was written for the programs.
    fn written() -> (tempfile::TempDir, impl Fn(&str) -> String) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let root = folder.path().to_owned();
        (folder, move |path: &str| {
            fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        })
    }

    #[test]
    fn every_flag_of_every_command_is_in_its_manual_page_with_its_help() {
        let (_folder, read) = written();
        let mut seen = 0;
        for program in adit_settings::command_lines() {
            for (name, command) in all(&program, "") {
                // Hyphens and leading dots have a backslash before them, an apostrophe has a name.
                let page = read(&format!("{MAN}/{name}.1"))
                    .replace(r"\*(Aq", "'")
                    .replace('\\', "");
                let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                let page = plain(&page);
                for arg in command.get_arguments() {
                    let flag = format!("--{}", arg.get_long().unwrap());
                    let help = plain(&arg.get_help().unwrap().to_string());
                    assert!(page.contains(&flag), "{name}.1 lacks {flag}");
                    assert!(
                        page.contains(&help),
                        "{name}.1 lacks the help of {flag}: {help}"
                    );
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "only {seen} flags");
    }

    #[test]
    fn every_flag_of_every_command_is_completed_in_every_shell() {
        let (_folder, read) = written();
        for program in adit_settings::command_lines() {
            let name = program.get_name();
            let bash = read(&format!("bash-completion/completions/{name}"));
            let zsh = read(&format!("zsh/site-functions/_{name}"));
            let fish = read(&format!("fish/vendor_completions.d/{name}.fish"));
            for flag in all(&program, "")
                .iter()
                .flat_map(|(_, command)| flags(command))
            {
                assert!(
                    bash.contains(&format!(" {flag} ")),
                    "bash lacks {name} {flag}"
                );
                // A star before it says that it may be repeated.
                let in_zsh = ["=", "["].map(|after| format!("{flag}{after}"));
                assert!(
                    in_zsh.iter().any(|form| zsh.contains(form)),
                    "zsh lacks {name} {flag}"
                );
                let long = format!(" -l {} ", &flag[2..]);
                assert!(fish.contains(&long), "fish lacks {name} {flag}");
            }
            for (words, _) in all(&program, "") {
                let last = words.rsplit('-').next().unwrap();
                assert!(
                    [&bash, &zsh, &fish].iter().all(|text| text.contains(last)),
                    "{words}"
                );
            }
        }
    }
}
