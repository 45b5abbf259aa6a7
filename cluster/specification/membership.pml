/*
 * A replication group that changes its members: four nodes, three LSNs, leases without time. See README.md.
 *
 * Every step of a replica is atomic: message, fsync, answer. A message may be taken late, out of order, twice, by some only, or never.
 * A disk may be lost. Replica 0 leads ballot 1 in the beginning; node 3 is a log replica: it never campaigns.
 */
#define NODES 4
#ifndef LSNS
#define LSNS  3               /* proposed at: the arrays always have room for three */
#endif
#ifndef BALLOTS
#define BALLOTS 3
#endif
#ifndef MEMBERS
#define MEMBERS 7             /* the first members, as bits */
#endif
#ifndef SECOND
#define SECOND 1              /* who may raise ballot 2 */
#endif
#ifndef THIRD
#define THIRD 1               /* ... and ballot 3 */
#endif
#ifndef LOST_DISKS
#define LOST_DISKS 1          /* so many */
#endif
#ifndef MAY_ADD
#define MAY_ADD 8             /* whom a leader may add, and ... */
#endif
#ifndef MAY_REMOVE
#define MAY_REMOVE 4          /* ... remove, as bits */
#endif
#ifndef LOSERS
#define LOSERS 4              /* ... of these nodes, as bits */
#endif
#define OWNER(b) ((b) == 1 -> 0 : ((b) == 2 -> SECOND : THIRD))

/* An entry is its ballot and its value. Values: a write, named after the ballot in which it was first proposed; or a change. */
#define ENTRY(b, v)  ((b) * 16 + (v))
#define BALLOT_OF(e) ((e) / 16)
#define VALUE_OF(e)  ((e) % 16)
#define ADD(x)       (4 + (x))
#define REMOVE(x)    (8 + (x))
#define SWAP         12       /* member 2 for node 3 */
#define IS_CHANGE(v) ((v) >= 4)

#define AT(i, n)   ((i) * 3 + (n) - 1)
#define OF(b, i)   ((b) * NODES + (i))
#define BIT(i)     (1 << (i))
#define HAS(m, i)  (((m) >> (i)) & 1)
#define COUNT(m)   (HAS(m, 0) + HAS(m, 1) + HAS(m, 2) + HAS(m, 3))
#define MAJORITY(m, of) (2 * COUNT((m) & (of)) > COUNT(of))
#define MAX(a, b)  ((a) > (b) -> (a) : (b))
#define MIN(a, b)  ((a) < (b) -> (a) : (b))

/* --- replicas ------------------------------------------------------------------------------------------------------------- */
byte promised[NODES];
byte entries[NODES * 3];
byte committed[NODES];
byte members[NODES] = MEMBERS;    /* as of what it has committed */
byte ballot[NODES];               /* whose log it follows; up to received its own equals that one */
byte received[NODES];
bool lost[NODES];                 /* its disk is gone: it neither votes nor stores */
byte grant[NODES];                /* the lease that it has granted, by ballot */
byte leads[NODES];
bool provisional[NODES];          /* leads only to settle a change of members */
byte renewed[NODES];              /* whose grants a leader still counts */
#ifdef MUTATION_LEASE_OF_OLD_MEMBERS
byte counted[NODES];              /* the members when the lease was last renewed */
#endif
byte candidate[NODES];
byte votes[NODES];
byte best[NODES * 3];          /* a candidate's: by LSN, the entry of the highest ballot among its voters' */
byte chosen[NODES];               /* a candidate's: so far its voters know what is committed */

/* --- messages in the air, by ballot ------------------------------------------------------------------------------------------ */
byte proposed[(BALLOTS + 1) * 3];                     /* Accept: the value at this LSN */
byte reproposed_to[BALLOTS + 1];
byte stored[(BALLOTS + 1) * NODES];                   /* AcceptReply: the highest LSN reported */
byte told_committed[BALLOTS + 1];                     /* Heartbeat */

/* --- what the invariants need ---------------------------------------------------------------------------------------------- */
byte decided[4];
byte lost_disks;
hidden byte agreement;
hidden byte two_copies_among_the_members;
hidden byte at_most_one_valid_lease;
hidden byte strong_read_sees_acknowledged_write;
hidden byte k, e, v, last, settled;

#define LAST(i) ((entries[AT(i, 3)] != 0) -> 3 : ((entries[AT(i, 2)] != 0) -> 2 : ((entries[AT(i, 1)] != 0) -> 1 : 0)))
#define PROPOSED(b, n) proposed[(b) * 3 + (n) - 1]
#define ACKNOWLEDGED ((decided[3] != 0) -> 3 : ((decided[2] != 0) -> 2 : ((decided[1] != 0) -> 1 : 0)))
#define VALUE(i, n) VALUE_OF(entries[AT(i, n)])

#ifdef MUTATION_LEASE_OF_OLD_MEMBERS
#define LEASE_MEMBERS(i) counted[i]
#else
#define LEASE_MEMBERS(i) members[i]
#endif
#ifdef MUTATION_PROVISIONAL_LEADER_HOLDS_LEASE
#define PROVISIONAL(i) false
#else
#define PROVISIONAL(i) provisional[i]
#endif
#define HOLDS_LEASE(i) (leads[i] != 0 && !PROVISIONAL(i) && MAJORITY(renewed[i] | BIT(i), LEASE_MEMBERS(i)))
#define ESTABLISHED(i) (HOLDS_LEASE(i) && committed[i] >= reproposed_to[leads[i]])
#define READ_OK(i)     (!ESTABLISHED(i) || committed[i] >= ACKNOWLEDGED)

inline check() {
    at_most_one_valid_lease = HOLDS_LEASE(0) + HOLDS_LEASE(1) + HOLDS_LEASE(2) <= 1;
    assert(at_most_one_valid_lease);
    strong_read_sees_acknowledged_write = READ_OK(0) && READ_OK(1) && READ_OK(2);
    assert(strong_read_sees_acknowledged_write)
}

/* state.py: commit, adopt: the next LSN is committed here; a change takes effect */
inline commit_next(i) {
    committed[i]++;
    v = VALUE(i, committed[i]);
    agreement = decided[committed[i]] == 0 || decided[committed[i]] == v;
    assert(agreement);
    decided[committed[i]] = v;
    if
    :: v >= ADD(0) && v < REMOVE(0) -> members[i] = members[i] | BIT(v - ADD(0))
    :: v >= REMOVE(0) && v < SWAP   -> members[i] = members[i] & (15 - BIT(v - REMOVE(0)))
    :: v == SWAP                    -> members[i] = (members[i] & 11) | 8
    :: else
    fi
}

/* A grant to one who trusts it no longer may end, and then it ends at once: longer it would only bind more. */
inline unbind(i, j) {
    if
    :: leads[i] != 0 && grant[j] == leads[i] -> grant[j] = 0
    :: else
    fi
}

inline leave(i) {
    candidate[i] = 0; votes[i] = 0; chosen[i] = 0;
    best[AT(i, 1)] = 0; best[AT(i, 2)] = 0; best[AT(i, 3)] = 0;
    unbind(i, 0); unbind(i, 1); unbind(i, 2); unbind(i, 3);
    if
    :: leads[i] != 0 ->
        stored[OF(leads[i], 0)] = 0; stored[OF(leads[i], 1)] = 0; stored[OF(leads[i], 2)] = 0; stored[OF(leads[i], 3)] = 0
    :: else
    fi;
    leads[i] = 0; provisional[i] = 0; renewed[i] = 0
#ifdef MUTATION_LEASE_OF_OLD_MEMBERS
    ; counted[i] = 0
#endif
}

inline enter(i, b) {
    if
    :: b > ballot[i] -> ballot[i] = b; received[i] = committed[i]
    :: else
    fi
}

/* --- phase 1 ----------------------------------------------------------------------------------------------------------------- */
/* campaigning.py: campaign, _raise_ballot. A candidate waits for the grant of its own. It leaves the office that it may hold (leading.py:
   resign; or a crash: what is on disk stays, and a restarted replica is bound as if it had just granted). */
#define MAY_CAMPAIGN(b) (OWNER(b) == me && !lost[me] && b > promised[me] && grant[me] == 0 && HAS(members[me], me))
inline campaign(b) {
    printf("%d campaigns with ballot %d among members %d\n", me, b, members[me]);
    leave(me);
    promised[me] = b; candidate[me] = b; votes[me] = BIT(me);
    enter(me, b);
    best[AT(me, 1)] = entries[AT(me, 1)]; best[AT(me, 2)] = entries[AT(me, 2)]; best[AT(me, 3)] = entries[AT(me, 3)];
    chosen[me] = committed[me]
}

/* following.py: on_prepare, _promise; state.py: becomes_member; campaigning.py: on_promise, which counts members only */
#define STORED_CHANGE(n) (n > committed[me] && VALUE(me, n) == ADD(me))
#define BECOMES_MEMBER (HAS(members[me], me) || STORED_CHANGE(1) || STORED_CHANGE(2) || STORED_CHANGE(3))
#define CHANGED(i, n) (committed[i] >= n && IS_CHANGE(VALUE(i, n)))
#define CHANGED_AT(i) (CHANGED(i, 3) -> 3 : (CHANGED(i, 2) -> 2 : (CHANGED(i, 1) -> 1 : 0)))   /* state.py: config_lsn */
#ifdef MUTATION_LEARNER_COUNTED
#define COUNTS(who) true
#else
#define COUNTS(who) (HAS(members[who], me) && (BECOMES_MEMBER || CHANGED_AT(who) > CHANGED_AT(me)))
#endif
#ifdef MUTATION_LEARNER_COUNTED
#define ELECTED(i) (2 * COUNT(votes[i]) > COUNT(members[i]))
#else
#define ELECTED(i) MAJORITY(votes[i], members[i])
#endif
#define MAY_PROMISE(b) (OWNER(b) != me && candidate[OWNER(b)] == b && b > promised[me] && !lost[me] && grant[me] == 0 && COUNTS(OWNER(b)) && \
    !ELECTED(OWNER(b)))
inline better(who, n) {
    if
    :: BALLOT_OF(entries[AT(me, n)]) > BALLOT_OF(best[AT(who, n)]) -> best[AT(who, n)] = entries[AT(me, n)]
    :: else
    fi
}
inline promise(b) {
    printf("%d promises ballot %d\n", me, b);
    leave(me);
    promised[me] = b;
    ballot[me] = 0; received[me] = committed[me];   /* as good as forgotten: lower ballots are not obeyed any more */
    votes[OWNER(b)] = votes[OWNER(b)] | BIT(me);
    better(OWNER(b), 1); better(OWNER(b), 2); better(OWNER(b), 3);
    chosen[OWNER(b)] = MAX(chosen[OWNER(b)], committed[me])
}

/* campaigning.py: _count, _up_to_a_change; following.py: learn_chosen; leading.py: begin. What voters know to be committed is learned
   first; if that changes the members, the votes are of the wrong group. A change that is open is settled first, in an office for that. */
#define MAY_COUNT(b) (candidate[me] == b && ELECTED(me))
inline learn_chosen(n) {
    if
    :: n <= chosen[me] && n > committed[me] -> entries[AT(me, n)] = best[AT(me, n)]; commit_next(me)
    :: else
    fi
}
#if defined(MUTATION_CHANGE_DOES_NOT_END_THE_OFFICE)
#define SETTLES(n) false
#else
#define SETTLES(n) IS_CHANGE(VALUE_OF(best[AT(me, n)]))
#endif
inline repropose(b, n) {
    if
    :: n <= committed[me]
    :: n > committed[me] && (settled || best[AT(me, n)] == 0) -> entries[AT(me, n)] = 0
    :: else ->
        entries[AT(me, n)] = ENTRY(b, VALUE_OF(best[AT(me, n)]));
        settled = SETTLES(n)
    fi
}
inline send(b, n) { PROPOSED(b, n) = VALUE(me, n) }   /* leading.py: send_entries */
inline count(b) {
    e = members[me];
    learn_chosen(1); learn_chosen(2); learn_chosen(3);
    received[me] = committed[me];
    if
    :: e != members[me] -> printf("%d learns that the members are %d: another ballot\n", me, members[me]); leave(me)
    :: else ->
        settled = 0;
        repropose(b, 1); repropose(b, 2); repropose(b, 3);
        leave(me);
        leads[me] = b; provisional[me] = settled;
        printf("%d leads ballot %d, %d entries, to settle a change: %d\n", me, b, LAST(me), settled);
        received[me] = LAST(me); reproposed_to[b] = LAST(me);
        stored[OF(b, me)] = LAST(me); told_committed[b] = committed[me];
        send(b, 1); send(b, 2); send(b, 3)
    fi
}

/* --- phase 2 ----------------------------------------------------------------------------------------------------------------- */
/* leading.py: propose, refusal; changing.py: change: nothing above a change that is not committed. The lease is not even asked for. */
#ifdef MUTATION_NO_STALL_AFTER_CHANGE
#define STALLS(n) false
#else
#define STALLS(n) (n > committed[me] && IS_CHANGE(VALUE(me, n)))
#endif
#define MAY_PROPOSE(b) (leads[me] == b && !provisional[me] && committed[me] >= reproposed_to[b] && LAST(me) < LSNS && \
    !STALLS(1) && !STALLS(2) && !STALLS(3))
inline propose(b, value) {
    last = LAST(me) + 1;
    printf("%d proposes value %d at LSN %d in ballot %d\n", me, value, last, b);
    entries[AT(me, last)] = ENTRY(b, value); received[me] = last; stored[OF(b, me)] = last;
    send(b, last)
}

/* following.py: obeys, on_accept, _surviving_tail, after_stored, learn */
#define OBEYS(b) (OWNER(b) != me && !lost[me] && b >= promised[me])
#define NEXT(b) ((b > ballot[me] -> committed[me] : received[me]) + 1)
#define MAY_ACCEPT(b, n) (OBEYS(b) && PROPOSED(b, n) != 0 && NEXT(b) == n)
inline drop(b, n, above) {
    if
    :: n > above && n > reproposed_to[b] -> entries[AT(me, n)] = 0
    :: else
    fi
}
inline learn(told) {
    do
    :: MIN(told, received[me]) > committed[me] -> commit_next(me)
    :: else -> break
    od
}
inline report(b) {   /* AcceptReply, HeartbeatReply */
    if
    :: leads[OWNER(b)] == b -> stored[OF(b, me)] = MAX(stored[OF(b, me)], received[me])
    :: else
    fi
}
inline accept(b, n) {
    printf("%d stores LSN %d of ballot %d\n", me, n, b);
    leave(me);
    enter(me, b);
    promised[me] = b;
    if
    :: BALLOT_OF(entries[AT(me, n)]) != b ->
        entries[AT(me, n)] = ENTRY(b, PROPOSED(b, n));
        drop(b, 2, n); drop(b, 3, n)
    :: else
    fi;
    received[me] = n;
#ifndef MUTATION_ACCEPT_DOES_NOT_TELL_COMMITTED
    learn((n > 1 && IS_CHANGE(VALUE(me, n - 1)) -> n - 1 : 0));   /* Accept says at least that much: nothing is proposed before */
#endif
    report(b)
}

/* following.py: on_heartbeat, learn; what is committed here is reported as stored */
#define MAY_LEARN(b) (OBEYS(b) && ((ballot[me] == b && MIN(told_committed[b], received[me]) > committed[me]) || \
    (ballot[me] < b && leads[OWNER(b)] == b && committed[me] > 0)))
inline hear(b) {
    leave(me);
    enter(me, b);
    promised[me] = b;
    learn(told_committed[b]);
    report(b);
    printf("%d hears ballot %d: committed %d, members %d\n", me, b, committed[me], members[me])
}

/* leading.py: advance; membership.py: chosen; the lease is counted anew among the new members */
#define STORED(b, n) ((stored[OF(b, 0)] >= n) + 2 * (stored[OF(b, 1)] >= n) + 4 * (stored[OF(b, 2)] >= n) + 8 * (stored[OF(b, 3)] >= n))
#ifdef MUTATION_COPY_AT_LEARNER_COUNTED
#define QUORUM(b, n) (2 * COUNT(STORED(b, n)) > COUNT(members[me]))
#else
#define QUORUM(b, n) MAJORITY(STORED(b, n), members[me])
#endif
#define IS_REMOVAL(w) ((w) >= REMOVE(0) && (w) < SWAP)
#ifdef MUTATION_REMOVAL_COUNTED_AMONG_THE_OLD_ONLY
#define STAY(b, n) true
#else   /* what is committed must not hang on the one who goes: a majority of those who stay has stored it, too */
#define STAY(b, n) (!IS_REMOVAL(VALUE(me, n)) || MAJORITY(STORED(b, n), members[me] & (15 - BIT(VALUE(me, n) & 3))))
#endif
#define MAY_COMMIT(b, n) (leads[me] == b && committed[me] == n - 1 && received[me] >= n && QUORUM(b, n) && STAY(b, n))
#define COPY(i, n) (HAS(members[me], i) && VALUE(i, n) == decided[n] && decided[n] != 0)
#define TWO_COPIES(n) (n > committed[me] || COPY(0, n) + COPY(1, n) + COPY(2, n) + COPY(3, n) >= 2)
inline commit(b, n) {
    commit_next(me);
    told_committed[b] = n;
    printf("%d acknowledges LSN %d in ballot %d: members %d\n", me, n, b, members[me]);
#ifndef ANY_COPIES
    two_copies_among_the_members = lost_disks > 0 || (TWO_COPIES(1) && TWO_COPIES(2) && TWO_COPIES(3));
    assert(two_copies_among_the_members);
#endif
    if
    :: provisional[me] && n >= reproposed_to[b] -> leave(me)
    :: else
    fi;
    check()
}

/* --- leases (election_and_lease.pml has the time) ------------------------------------------------------------------------------ */
/* following.py: on_heartbeat; leading.py: on_heartbeat_reply */
#define MAY_GRANT(b) (OBEYS(b) && leads[OWNER(b)] == b && !HAS(renewed[OWNER(b)], me))
inline grant_lease(b) {
    printf("%d grants ballot %d a lease\n", me, b);
    leave(me);
    enter(me, b);
    promised[me] = b; grant[me] = b;
    renewed[OWNER(b)] = renewed[OWNER(b)] | BIT(me);
#ifdef MUTATION_LEASE_OF_OLD_MEMBERS
    counted[OWNER(b)] = members[OWNER(b)];
#endif
    check()
}
/* lease.py: first the holder stops counting a grant, then the grantor is free */
#define MAY_LAPSE (grant[me] != 0)
inline lapse() {
    printf("%d counts the grant of %d no longer, which is free\n", OWNER(grant[me]), me);
    renewed[OWNER(grant[me])] = renewed[OWNER(grant[me])] & (15 - BIT(me));
    grant[me] = 0
}

/* A disk is lost. roles.py: Past */
#ifdef MUTATION_NAME_USED_AGAIN   /* what a member has stored is deleted when it is removed; then it is taught anew */
#define DELETED (decided[1] == REMOVE(me) || decided[2] == REMOVE(me) || decided[3] == REMOVE(me))
#else
#define DELETED true
#endif
#define MAY_LOSE (lost_disks < LOST_DISKS && HAS(LOSERS, me) && !lost[me] && DELETED)
inline lose() {
    printf("%d loses its disk\n", me);
    lost_disks++;
    leave(me);
    promised[me] = 0; committed[me] = 0; ballot[me] = 0; received[me] = 0; grant[me] = 0;
    entries[AT(me, 1)] = 0; entries[AT(me, 2)] = 0; entries[AT(me, 3)] = 0;
#if defined(MUTATION_LOST_DISK_VOTES)
    members[me] = MEMBERS
#elif defined(MUTATION_NAME_USED_AGAIN)
    members[me] = 0
#else
    members[me] = 0; lost[me] = true
#endif
}

#ifdef NO_LEASES
#define LEASES(b)
#else
#define LEASES(b) :: d_step { MAY_GRANT(b) -> grant_lease(b) }
#endif

#define ON_LSN(b, n) \
    :: d_step { MAY_ACCEPT(b, n)  -> accept(b, n) } \
    :: d_step { MAY_COMMIT(b, n)  -> commit(b, n) }

#define CHANGE(b, x) \
    :: d_step { MAY_PROPOSE(b) && HAS(MAY_ADD, x) && !HAS(members[me], x) -> propose(b, ADD(x)) } \
    :: d_step { MAY_PROPOSE(b) && HAS(MAY_REMOVE, x) && HAS(members[me], x) && x != me -> propose(b, REMOVE(x)) }
#ifdef MUTATION_TWO_AT_ONCE
#define CHANGES(b) :: d_step { MAY_PROPOSE(b) && HAS(members[me], 2) && !HAS(members[me], 3) -> propose(b, SWAP) }
#else
#define CHANGES(b) CHANGE(b, 1) CHANGE(b, 2) CHANGE(b, 3)
#endif

#define ON_BALLOT(b) \
    :: d_step { MAY_CAMPAIGN(b) -> campaign(b) } \
    :: d_step { MAY_PROMISE(b)  -> promise(b) } \
    :: d_step { MAY_COUNT(b)    -> count(b) } \
    :: d_step { MAY_PROPOSE(b)  -> propose(b, b) } \
    CHANGES(b) \
    :: d_step { MAY_LEARN(b)    -> hear(b) } \
    LEASES(b) \
    ON_LSN(b, 1) \
    ON_LSN(b, 2) \
    ON_LSN(b, 3)

proctype replica(byte me) {
end:
    do
    ON_BALLOT(1)
    ON_BALLOT(2)
#if BALLOTS > 2
    ON_BALLOT(3)
#endif
    :: d_step { MAY_LAPSE    -> lapse() }
    :: d_step { MAY_LOSE     -> lose() }
    od
}

init {
    d_step { promised[0] = 1; ballot[0] = 1; leads[0] = 1 }
    atomic { run replica(0); run replica(1); run replica(2); run replica(3) }
}
