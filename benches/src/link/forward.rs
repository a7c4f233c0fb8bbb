//! One direction at work: a thread that reads packets from one TUN device, asks the path what becomes
//! of them, and writes them to the other device when they arrive.

use super::path::{Fate, Path};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::io::{self, PipeReader};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tun_rs::SyncDevice;

/// The largest packet that a device may have, in bytes.
pub(super) const MTU: u16 = 1_500;
/// Packets that are read, or written, before it is looked at the other side again.
const BATCH: usize = 64;
/// The least time from one look at the devices to the next. It lets the packets of so many microseconds
/// share one wake-up, which costs more than they do, and makes each up to as much later.
const TICK: Duration = Duration::from_micros(200);
/// A packet that arrives later than this is counted as late.
const LATE: Duration = Duration::from_millis(1);

/// What one direction of a link has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Packets that arrived.
    pub packets: u64,
    /// Bytes of these, with their IP heads.
    pub bytes: u64,
    /// Packets for which the queue had no room.
    pub dropped: u64,
    /// Packets that got lost by chance.
    pub lost: u64,
    /// Packets that the other namespace's device did not take. Not meant to happen.
    pub refused: u64,
    /// Packets that the sending device dropped because this direction's thread did not run in time.
    /// Not meant to happen.
    pub overrun: u64,
    /// Packets that arrived more than a millisecond after their time, because the machine was busy.
    pub late: u64,
    /// The most that a packet was late.
    pub latest: Duration,
    /// What the thread took of a processor. Writing a packet includes what the kernel does to receive it.
    pub processor: Duration,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} packets, {} bytes; dropped by the queue {}, lost by chance {}, refused {}, overrun {}; \
             over 1 ms late {}, the latest {:.1} ms; processor {:.2} s",
            self.packets,
            self.bytes,
            self.dropped,
            self.lost,
            self.refused,
            self.overrun,
            self.late,
            self.latest.as_secs_f64() * 1e3,
            self.processor.as_secs_f64()
        )
    }
}

/// Carries packets `from` one device `to` the other until `stop` is hung up.
///
/// # Errors
///
/// A device failed, or the thread may not be preferred to others.
pub(super) fn forward(
    from: &SyncDevice,
    to: &SyncDevice,
    mut path: Path,
    stop: &PipeReader,
) -> io::Result<Counts> {
    // A network does not wait for a processor, nor for a timer to be convenient.
    if path.has_rate() {
        go_first()?;
    }
    set_current_timer_slack(NonZeroU64::new(1))?;
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut counts = Counts::default();
    let mut buffer = [0; MTU as usize];
    loop {
        let looked = Instant::now();
        let read = read(from, &mut path, &mut buffer, now, &mut counts)?;
        let written = write(to, &mut path, now, &mut counts);
        if read == BATCH || written == BATCH {
            continue;
        }
        let timeout = path.next().map(|at| {
            let wait = Duration::from_nanos(at.saturating_sub(now()));
            Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(wait.subsec_nanos()),
            }
        });
        let mut waiting = [
            PollFd::new(from, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut waiting, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            done => {
                done?;
            }
        }
        if !waiting[1].revents().is_empty() {
            let used = clock_gettime(ClockId::ThreadCPUTime);
            let nanos = u64::try_from(used.tv_nsec).unwrap_or(0);
            counts.processor = Duration::from_secs(u64::try_from(used.tv_sec).unwrap_or(0))
                + Duration::from_nanos(nanos);
            return Ok(counts);
        }
        thread::sleep(TICK.saturating_sub(looked.elapsed()));
    }
}

/// Lets the calling thread run before all that is not of real time. Only for one that sleeps most of the
/// time: one that does not is held up by the kernel for tens of milliseconds of every second.
fn go_first() -> io::Result<()> {
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Min,
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
    )
    .map_err(|e| io::Error::other(format!("no thread may go first here: {e}")))
}

/// Offers the path what the device has, up to a batch; returns how much that was.
fn read(
    from: &SyncDevice,
    path: &mut Path,
    buffer: &mut [u8],
    now: impl Fn() -> u64,
    counts: &mut Counts,
) -> io::Result<usize> {
    for done in 0..BATCH {
        let length = match from.recv(buffer) {
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(done),
            Err(e) => return Err(e),
        };
        match path.offer(now(), &buffer[..length]) {
            Fate::Taken => {}
            Fate::Dropped => counts.dropped += 1,
            Fate::Lost => counts.lost += 1,
        }
    }
    Ok(BATCH)
}

/// Hands on what has arrived, up to a batch; returns how much that was.
fn write(to: &SyncDevice, path: &mut Path, now: impl Fn() -> u64, counts: &mut Counts) -> usize {
    for done in 0..BATCH {
        let time = now();
        let Some((at, packet)) = path.arrived(time) else {
            return done;
        };
        let late = Duration::from_nanos(time.saturating_sub(at));
        counts.late += u64::from(late > LATE);
        counts.latest = counts.latest.max(late);
        match to.send(&packet) {
            Ok(_) => {
                counts.packets += 1;
                counts.bytes += packet.len() as u64;
            }
            Err(_) => counts.refused += 1,
        }
        path.give_back(packet);
    }
    BATCH
}
