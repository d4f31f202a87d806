//! Any bytes as an invocation: no panic on the way to the events in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline_retry::delivery::{Body, Delivery};
use pipeline_retry::event::Event;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(payload) = serde_json::from_slice::<Value>(data) else { return };
    match Delivery::parse(payload) {
        Ok(Delivery::Direct(event)) => drop(Event::parse(&event)),
        Ok(Delivery::Sqs(records)) => {
            for record in records {
                if let Ok(Body::EventBridge(event)) = Body::parse(&record.body) {
                    drop(Event::parse(&event));
                }
            }
        }
        Ok(Delivery::Sns(_)) | Err(_) => {}
    }
});
