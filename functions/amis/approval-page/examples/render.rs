//! Prints the page as an approver sees it, to look at it in a browser:
//! `cargo run -p ami-approval-page --example render > page.html`.

#![allow(clippy::unwrap_used, reason = "constants")]

use std::collections::BTreeMap;

use ami_approval::effects::Effects;
use ami_approval::execution::{Execution, Sharing, State, Vote};
use ami_approval::image::ImageRef;
use ami_approval::target::Targets;
use ami_approval_page::page::{Page, View};
use time::macros::datetime;

fn main() {
    let hostile = std::env::args().any(|argument| argument == "--hostile");
    let image_name = if hostile {
        format!("<script>alert(1)</script>\u{202e}{}", "x".repeat(255))
    } else {
        "Golden web server".to_owned()
    };
    let images: Vec<ImageRef> =
        vec!["eu-west-1:ami-0123456789abcdef0".parse().unwrap(), "us-east-1:ami-0fedcba9876543210".parse().unwrap()];
    let scan = "highest severity: medium (scan of 2026-11-24 03:12 UTC)".to_owned();
    let scans = BTreeMap::from([(images[0].clone(), scan), (images[1].clone(), "not scanned".to_owned())]);
    let execution = Execution {
        id: "333ba70b-2333-48db-b17e-a5e69c6f4d1c".to_owned(),
        document: "approval".to_owned(),
        receivers: None,
        effects: None,
        is_approved: false,
        sharing: Sharing::NotBegun,
        status: "Waiting".to_owned(),
        started_at: None,
        decide_until: None,
        images,
        image_name,
        build_arn: Some("arn:aws:imagebuilder:eu-west-1:111122223333:image/golden-web-server/1.4.0/3".to_owned()),
        summary: Some(
            "Recipe: golden-web-server 1.4.0. Pipeline: golden-web-weekly. Operating system: Amazon Linux 2023. Built: Nov 24, 2026 3:02:11 AM"
                .to_owned(),
        ),
        state: State::Waiting,
        needed: 2,
        votes: vec![Vote { approver: "arn:aws:sts::111122223333:assumed-role/approver/alice".to_owned(), approves: true, comment: String::new() }],
    };
    let targets = Targets {
        accounts: vec!["444455556666".parse().unwrap(), "777788889999".parse().unwrap()],
        organizations: vec!["arn:aws:organizations::111122223333:organization/o-abcdefghij".parse().unwrap()],
        units: vec![],
    };
    let expires_at = datetime!(2026-11-28 12:34 UTC);
    let effects = Effects { watermark: "approved".parse().ok(), ..Effects::default() };
    let view = View {
        execution: &execution,
        targets: &targets,
        effects: &effects,
        scans: &scans,
        token: "v2.x",
        expires_at,
        has_voted: false,
    };
    print!("{}", Page::approval(&view).html);
}
