//! Runs a watch while a thread of its own passes on requests to end: to the child as long as there is one, otherwise to the
//! watch.

use std::thread;

use crossbeam_channel::{Receiver, bounded, never, select};

use super::child::Child;
use super::signals::{Request, Signals};
use crate::sampler::Stop;

/// Does `work`, which is to end soon once its `Stop` is asked for: by a signal, or by the end of the child.
pub(crate) fn run_until_stopped<T>(signals: &Signals, child: Option<&Child>, work: impl FnOnce(&Stop) -> T) -> T {
    let stop = Stop::default();
    let (working, done) = bounded::<()>(0);
    thread::scope(|scope| {
        let (stop, requests) = (&stop, signals.requests.clone());
        let ended = child.map_or_else(never, |child| child.ended.clone());
        scope.spawn(move || {
            let child_ended = relay(requests, &ended, &done, |request| match (child, request) {
                (Some(child), Some(request)) => child.forward(request),
                // The program ends by itself, and the watch with it.
                (Some(_), None) => {}
                (None, _) => {
                    stop.ask();
                    signals.end_soon();
                }
            });
            if child_ended {
                stop.ask();
            }
        });
        // Dropped at the end of this scope, however it ends.
        let _working = working;
        work(stop)
    })
}

/// Hands requests to `pass_on` until the child has ended, which it returns, or the work is done. `None` stands for all
/// requests that can no longer be heard.
fn relay(
    mut requests: Receiver<Request>,
    ended: &Receiver<()>,
    done: &Receiver<()>,
    mut pass_on: impl FnMut(Option<Request>),
) -> bool {
    loop {
        select! {
            recv(requests) -> request => {
                if request.is_err() {
                    // A closed channel is always ready: selecting it again would spin.
                    requests = never();
                }
                pass_on(request.ok());
            },
            recv(ended) -> _ => return true,
            recv(done) -> _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_can_no_longer_be_heard_are_passed_on_once_and_do_not_spin() {
        let (sender, requests) = bounded::<Request>(1);
        drop(sender);
        let (working, done) = bounded::<()>(0);
        let (first, heard) = bounded::<()>(1);
        let mut passed_on = 0;
        thread::scope(|scope| {
            scope.spawn(move || {
                // Until then the relay has all the time in the world to spin.
                let _ = heard.recv();
                drop(working);
            });
            let ended = relay(requests, &never(), &done, |request| {
                assert_eq!(request, None);
                passed_on += 1;
                let _ = first.try_send(());
            });
            assert!(!ended);
        });
        assert_eq!(passed_on, 1);
    }
}
