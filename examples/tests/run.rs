//! Every example runs to its good end.

use std::process::Command;

fn run(name: &str) {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let output = Command::new(folder.join("examples").join(name))
        .output()
        .expect("cargo has built it");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}");
    assert!(
        said.contains("ten megabytes went") || said.contains("bytes went to"),
        "{said}"
    );
}

macro_rules! examples {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

examples! { memory unix_socket stdio serial_line quic axum_app }
