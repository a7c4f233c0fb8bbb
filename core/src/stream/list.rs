//! Queues of streams that allocate nothing: each stream carries its own links, and stands in each queue at most once.

/// The queues that a stream may stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Has something to tell the application.
    Events,
    /// Owes the peer an OPEN, a RESET or a FIN.
    Control,
    /// Owes the peer a CREDIT or a CREDIT_RETURN.
    Credit,
    /// Has data to send.
    Schedule,
}

const QUEUES: usize = 4;

/// A stream's places in the queues.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links([Link; QUEUES]);

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    queued: bool,
    next: Option<usize>,
    previous: Option<usize>,
}

/// Something that has [`Links`], found by its key.
pub(crate) trait Linked {
    fn links(&mut self) -> &mut Links;
}

/// One queue. First in, first out; any member can leave.
#[derive(Debug)]
pub(crate) struct List {
    queue: Queue,
    head: Option<usize>,
    tail: Option<usize>,
}

impl List {
    pub(crate) const fn new(queue: Queue) -> Self {
        Self {
            queue,
            head: None,
            tail: None,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    pub(crate) const fn front(&self) -> Option<usize> {
        self.head
    }

    /// Appends `key`; false if it stands in this kind of queue already.
    pub(crate) fn push<T: Linked>(&mut self, slab: &mut slab::Slab<T>, key: usize) -> bool {
        let tail = self.tail;
        let Some(own) = link(slab, key, self.queue) else {
            return false;
        };
        if own.queued {
            return false;
        }
        *own = Link {
            queued: true,
            next: None,
            previous: tail,
        };
        match tail.and_then(|tail| link(slab, tail, self.queue)) {
            Some(last) => last.next = Some(key),
            None => self.head = Some(key),
        }
        self.tail = Some(key);
        true
    }

    /// Takes `key` out, wherever it stands; the caller knows that it stands in this very queue.
    pub(crate) fn remove<T: Linked>(&mut self, slab: &mut slab::Slab<T>, key: usize) {
        let Some(own) = link(slab, key, self.queue) else {
            return;
        };
        if !own.queued {
            return;
        }
        let Link { next, previous, .. } = core::mem::take(own);
        match previous.and_then(|previous| link(slab, previous, self.queue)) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match next.and_then(|next| link(slab, next, self.queue)) {
            Some(after) => after.previous = previous,
            None => self.tail = previous,
        }
    }
}

fn link<T: Linked>(slab: &mut slab::Slab<T>, key: usize, queue: Queue) -> Option<&mut Link> {
    slab.get_mut(key)
        .map(|entry| &mut entry.links().0[queue as usize])
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[derive(Default)]
    struct Member(Links);

    impl Linked for Member {
        fn links(&mut self) -> &mut Links {
            &mut self.0
        }
    }

    #[test]
    fn a_member_stands_in_a_queue_once_and_may_leave_from_anywhere() {
        let mut slab = slab::Slab::new();
        let keys: Vec<_> = (0..5).map(|_| slab.insert(Member::default())).collect();
        let mut list = List::new(Queue::Events);
        for &key in &keys {
            assert!(list.push(&mut slab, key));
            assert!(!list.push(&mut slab, key));
        }
        for &gone in &[keys[2], keys[0], keys[4], keys[4]] {
            list.remove(&mut slab, gone);
        }
        assert!(list.push(&mut slab, keys[0]));
        let mut order = Vec::new();
        while let Some(key) = list.front() {
            list.remove(&mut slab, key);
            order.push(key);
        }
        assert_eq!(order, [keys[1], keys[3], keys[0]]);
        assert!(list.is_empty());
    }
}
