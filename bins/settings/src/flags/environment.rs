//! What a process is given besides its arguments: environment variables and the host's name,
//! as values, so that tests need not change their own process.

use std::collections::BTreeMap;

use super::{CONFIG, TABLES, nearest};

/// Environment variables and the host's name. It has no Debug, because variables hold tokens.
#[derive(Default)]
pub struct Environment {
    /// `None` marks a variable that is not UTF-8.
    variables: BTreeMap<String, Option<String>>,
    host_name: String,
}

impl Environment {
    /// What this process was given.
    pub fn of_this_process() -> Self {
        let variables = std::env::vars_os()
            .map(|(name, text)| (name.to_string_lossy().into_owned(), text.into_string().ok()))
            .collect();
        Self {
            variables,
            host_name: gethostname::gethostname().to_string_lossy().into_owned(),
        }
    }

    /// An environment of these variables and this host name.
    pub fn of<'a>(
        host_name: &str,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Some(text.to_owned())))
            .collect();
        Self {
            variables,
            host_name: host_name.to_owned(),
        }
    }

    /// The value of a variable. One that is set to nothing counts as not set, as it does for
    /// most programs: charts write `NAME=` for what they leave out.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)?
            .as_deref()
            .filter(|text| !text.is_empty())
    }

    /// Whether a variable is set to what is not UTF-8.
    pub(crate) fn is_garbled(&self, name: &str) -> bool {
        matches!(self.variables.get(name), Some(None))
    }

    pub(crate) fn host_name(&self) -> &str {
        &self.host_name
    }

    /// A warning for each `ADIT_…` variable that nobody reads but that is one or two letters away
    /// from one that somebody does.
    pub(crate) fn misspelt(&self) -> Vec<String> {
        let known: Vec<String> = TABLES
            .iter()
            .flat_map(|table| table.flags())
            .chain([&CONFIG])
            .flat_map(|flag| flag.variables())
            .collect();
        self.variables
            .keys()
            .filter(|name| name.starts_with("ADIT_") && !known.contains(name))
            // Kubernetes and Docker set ADIT_PORT for a Service named adit.
            .filter(|name| name.as_str() != "ADIT_PORT")
            .filter_map(|name| {
                let near = nearest(name, known.iter().cloned())?;
                let close = strsim::osa_distance(name, &near) <= 2;
                close.then(|| {
                    let name = name.escape_debug();
                    format!("the environment variable {name} means nothing; did you mean {near}?")
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_pointed_out_and_a_foreign_one_is_not() {
        let environment = Environment::of(
            "host",
            [
                ("ADIT_UPSTREAMS", "x"),
                ("ADIT_URL", "x"),
                ("ADIT_CONFIG", "x"),
                ("ADIT_LOG", "x"),
                ("ADIT_PORT", "tcp://10.0.0.1:8123"),
                ("ADIT_SERVICE_HOST", "10.0.0.1"),
                ("ADIT_MY_OWN_THING", "x"),
                ("TOKEN_FILE", "x"),
            ],
        );
        let [warning] = &environment.misspelt()[..] else {
            panic!("{:?}", environment.misspelt());
        };
        assert!(warning.contains("ADIT_UPSTREAMS") && warning.contains("ADIT_UPSTREAM?"));
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = Environment::of("host", [("ADIT_URL", "")]);
        assert_eq!(environment.get("ADIT_URL"), None);
    }

    #[cfg(unix)]
    #[test]
    fn this_process_has_variables_and_a_host_name() {
        let environment = Environment::of_this_process();
        assert!(environment.get("PATH").is_some());
        assert!(!environment.host_name().is_empty());
    }
}
