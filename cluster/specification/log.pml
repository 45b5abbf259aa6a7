/*
 * The log of one replication group (Multi-Paxos, members fixed, no time): three replicas, two LSNs, crashes. See README.md.
 *
 * A message once sent stays in the air for ever: it may be taken late, out of order, twice, by some only, or never.
 * Memory and disk are apart: a crash brings back what was fsynced.
 */
#define NODES    3
#ifndef LSNS
#define LSNS     2               /* proposed at: the arrays always have room for two */
#endif
#define MAJORITY 2
#ifndef BALLOTS
#define BALLOTS  3
#endif
/* Who may raise which ballot. */
#ifdef SAME_CANDIDATE
#define OWNER(b) 0
#else
#define OWNER(b) (((b) - 1) % NODES)
#endif

/* An entry is its ballot and its value; a value is named after the ballot in which it was first proposed. 0: no entry. */
#define ENTRY(b, v)  ((b) * 8 + (v))
#define BALLOT_OF(e) ((e) / 8)
#define VALUE_OF(e)  ((e) % 8)
#define NOTHING 7             /* fills a hole */

#define AT(i, n)   ((i) * 2 + (n) - 1)
#define OF(b, i)   ((b) * NODES + (i))
#define BIT(i)     (1 << (i))
#define MAX(a, b)  ((a) > (b) -> (a) : (b))
#define MIN(a, b)  ((a) < (b) -> (a) : (b))

/* --- replicas: memory, and what of it is on disk ------------------------------------------------------------------------- */
byte promised[NODES];           byte disk_promised[NODES];
byte entries[NODES * 2];     byte disk_entries[NODES * 2];
byte committed[NODES];          byte disk_committed[NODES];
byte ballot[NODES];             /* whose log it follows; up to received its own equals that one */
byte received[NODES];
byte candidate[NODES];
byte leads[NODES];

/* --- messages ever sent ----------------------------------------------------------------------------------------------------- */
byte prepare[BALLOTS + 1];                           /* bit c: Prepare by a candidate that had committed c */
bool promise[(BALLOTS + 1) * NODES];                 /* by this voter; its newest Promise for this ballot: */
byte promise_since[(BALLOTS + 1) * NODES];           /* it holds what is above this LSN */
byte promise_1[(BALLOTS + 1) * NODES];
byte promise_2[(BALLOTS + 1) * NODES];
byte proposed[(BALLOTS + 1) * 2];                 /* Accept: the value at this LSN */
byte reproposed_to[BALLOTS + 1];
byte stored[(BALLOTS + 1) * NODES];                  /* AcceptReply, HeartbeatReply: the highest LSN reported */
byte told_committed[BALLOTS + 1];                    /* Heartbeat, Committed, Accept */
#ifdef MUTATION_DUPLICATE_COUNTED_TWICE
byte votes[(BALLOTS + 1) * 2];
#endif

/* --- what the invariants need --------------------------------------------------------------------------------------------- */
byte decided[3];
hidden byte agreement;
hidden byte durable_in_a_quorum;
hidden byte at_most_one_leader_per_ballot;
bool led[BALLOTS + 1];

hidden byte k, e, last, copies;

#define LAST(i) ((entries[AT(i, 2)] != 0) -> 2 : ((entries[AT(i, 1)] != 0) -> 1 : 0))
#define PROPOSED(b, n) proposed[(b) * 2 + (n) - 1]
#define VALUE(i, n) VALUE_OF(entries[AT(i, n)])
#define ON_DISK(i, n, v) (VALUE_OF(disk_entries[AT(i, n)]) == (v))

/* Everywhere and for ever there is one value at an LSN, and it is what was acknowledged first. */
inline decide(i, n) {
    agreement = decided[n] == 0 || decided[n] == VALUE(i, n);
    assert(agreement);
    decided[n] = VALUE(i, n)
}

inline fsync(i) {
    disk_promised[i] = promised[i]; disk_committed[i] = committed[i];
    disk_entries[AT(i, 1)] = entries[AT(i, 1)]; disk_entries[AT(i, 2)] = entries[AT(i, 2)]
}

inline leave(i) {
    candidate[i] = 0;
    if
    :: leads[i] != 0 ->   /* nobody needs the replies any more */
        stored[OF(leads[i], 0)] = 0; stored[OF(leads[i], 1)] = 0; stored[OF(leads[i], 2)] = 0
    :: else
    fi;
    leads[i] = 0
}

inline report(b, n) {   /* AcceptReply, HeartbeatReply */
    if
    :: leads[OWNER(b)] == b -> stored[OF(b, me)] = MAX(stored[OF(b, me)], n)
    :: else
    fi
}

/* state.py: enter */
inline enter(i, b) {
    if
    :: b > ballot[i] -> ballot[i] = b; received[i] = committed[i]
    :: else
    fi
}

/* --- steps ----------------------------------------------------------------------------------------------------------------- */
/* campaigning.py: campaign, _raise_ballot */
#define MAY_CAMPAIGN(b) (OWNER(b) == me && leads[me] == 0 && b > promised[me])
inline campaign(b) {
    printf("%d campaigns with ballot %d, committed %d\n", me, b, committed[me]);
    leave(me);
    promised[me] = b; candidate[me] = b;
    enter(me, b);
#ifdef MUTATION_PREPARE_BEFORE_OWN_PROMISE_IS_DURABLE
    prepare[b] = prepare[b] | BIT(committed[me])
#endif
}

/* state.py: append; replica.py: _persisted: a leader's or candidate's own Append reaches its disk */
#define MAY_FSYNC (disk_promised[me] != promised[me] || disk_committed[me] != committed[me] || \
    disk_entries[AT(me, 1)] != entries[AT(me, 1)] || disk_entries[AT(me, 2)] != entries[AT(me, 2)])
inline persist() {
    printf("%d has everything on disk\n", me);
    fsync(me);
    if
    :: leads[me] != 0 -> stored[OF(leads[me], me)] = MAX(stored[OF(leads[me], me)], received[me])
    :: leads[me] == 0 && candidate[me] != 0 -> prepare[candidate[me]] = prepare[candidate[me]] | BIT(committed[me])
    :: else
    fi
}

/* following.py: on_prepare, _promise. It is sent when everything it says is on disk, so writing and sending are one step. */
#define MAY_PROMISE(b, c) ((prepare[b] & BIT(c)) && OWNER(b) != me && ballot[me] != b && \
    (b > promised[me] || (b == promised[me] && promise_since[OF(b, me)] != c)))
inline make_promise(b, c) {
    printf("%d promises ballot %d what it holds above %d\n", me, b, c);
    leave(me);
    promised[me] = b;
    ballot[me] = 0; received[me] = committed[me];   /* as good as forgotten: lower ballots are not obeyed any more */
#ifdef MUTATION_PROMISE_NOT_DURABLE
    e = disk_promised[me]; fsync(me); disk_promised[me] = e;
#else
    fsync(me);
#endif
    promise[OF(b, me)] = true; promise_since[OF(b, me)] = c;
    promise_1[OF(b, me)] = (c < 1 -> entries[AT(me, 1)] : 0);
    promise_2[OF(b, me)] = (c < 2 -> entries[AT(me, 2)] : 0)
}

/* campaign_state.py: choose */
inline choose(n, theirs) {
    if
    :: n > committed[me] ->
        e = entries[AT(me, n)];
        if
#ifdef MUTATION_NO_REPROPOSAL
        :: true -> e = 0
#elif defined(MUTATION_LOWEST_BALLOT_WINS)
        :: theirs != 0 && (e == 0 || BALLOT_OF(theirs) < BALLOT_OF(e)) -> e = theirs
#else
        :: theirs != 0 && BALLOT_OF(theirs) > BALLOT_OF(e) -> e = theirs
#endif
        :: else
        fi;
        entries[AT(me, n)] = (e == 0 -> 0 : ENTRY(leads[me], VALUE_OF(e)))
    :: else
    fi
}

/* campaigning.py: _count, with the promise of one other replica; leading.py: begin, send_entries (also of what is committed) */
#define MAY_WIN(b, j) (j != me && candidate[me] == b && disk_promised[me] == b && promise[OF(b, j)])
inline win(b, j) {
    printf("%d leads ballot %d by the vote of %d\n", me, b, j);
    at_most_one_leader_per_ballot = !led[b];
    assert(at_most_one_leader_per_ballot);
    led[b] = true;
    candidate[me] = 0; leads[me] = b;
    choose(1, promise_1[OF(b, j)]);
    choose(2, promise_2[OF(b, j)]);
    if
    :: entries[AT(me, 2)] != 0 && entries[AT(me, 1)] == 0 -> entries[AT(me, 1)] = ENTRY(b, NOTHING)
    :: else
    fi;
    received[me] = LAST(me); reproposed_to[b] = LAST(me);
    PROPOSED(b, 1) = VALUE(me, 1);
    PROPOSED(b, 2) = VALUE(me, 2);
    told_committed[b] = committed[me];
    stored[OF(b, me)] = committed[me]
}

/* leading.py: propose. Only when what earlier leaders may have committed is committed. */
#define MAY_PROPOSE(b) (leads[me] == b && committed[me] >= reproposed_to[b] && LAST(me) < LSNS)
inline propose(b) {
    last = LAST(me) + 1;
    printf("%d proposes at LSN %d in ballot %d\n", me, last, b);
    entries[AT(me, last)] = ENTRY(b, b); received[me] = last;
    PROPOSED(b, last) = b
}

/* following.py: obeys, on_accept, _not_held, _surviving_tail, after_stored: what is reported is on disk */
#ifdef MUTATION_VOTER_IGNORES_ITS_PROMISE
#define OBEYS(b) (OWNER(b) != me && b >= ballot[me])
#else
#define OBEYS(b) (OWNER(b) != me && b >= promised[me])
#endif
#define NEXT(b) ((b > ballot[me] -> committed[me] : received[me]) + 1)
#define MAY_ACCEPT(b, n) (OBEYS(b) && PROPOSED(b, n) != 0 && NEXT(b) == n)
inline accept(b, n) {
    printf("%d stores LSN %d of ballot %d\n", me, n, b);
    leave(me);
    enter(me, b);
    promised[me] = MAX(promised[me], b);
    if
    :: BALLOT_OF(entries[AT(me, n)]) != b ->
        entries[AT(me, n)] = ENTRY(b, PROPOSED(b, n));
        if
        :: n == 1 && reproposed_to[b] < 2 -> entries[AT(me, 2)] = 0
        :: else
        fi
    :: else
    fi;
    received[me] = n;
#ifndef MUTATION_REPORTS_BEFORE_FSYNC
    fsync(me);
#endif
    report(b, n)
}

/* following.py: on_heartbeat: what is committed here is reported as stored */
#define MAY_FOLLOW(b) (OBEYS(b) && leads[OWNER(b)] == b && b > ballot[me] && committed[me] > 0)
inline follow(b) {
    printf("%d follows ballot %d, committed %d\n", me, b, committed[me]);
    leave(me);
    enter(me, b);
    promised[me] = MAX(promised[me], b);
    fsync(me);
    report(b, received[me])
}

/* following.py: learn */
#define MAY_LEARN(b) (ballot[me] == b && promised[me] == b && leads[me] == 0 && MIN(told_committed[b], received[me]) > committed[me])
inline learn(b) {
    committed[me]++;
    printf("%d learns that LSN %d is committed\n", me, committed[me]);
    decide(me, committed[me]);
    fsync(me)
}

/* leading.py: advance; quorum.py: reached */
#define HAS(b, i, n) (stored[OF(b, i)] >= (n))
#ifdef MUTATION_ACKNOWLEDGED_AFTER_ONE_FSYNC
#define QUORUM(b, n) (HAS(b, 0, n) + HAS(b, 1, n) + HAS(b, 2, n) >= 1)
#elif defined(MUTATION_DUPLICATE_COUNTED_TWICE)
#define QUORUM(b, n) (votes[(b) * 2 + (n) - 1] >= MAJORITY)
#else
#define QUORUM(b, n) (HAS(b, 0, n) + HAS(b, 1, n) + HAS(b, 2, n) >= MAJORITY)
#endif
#define MAY_COMMIT(b, n) (leads[me] == b && committed[me] == n - 1 && received[me] >= n && QUORUM(b, n))
inline commit(b, n) {
    printf("%d acknowledges LSN %d in ballot %d\n", me, n, b);
    committed[me] = n; told_committed[b] = MAX(told_committed[b], n);
    decide(me, n)
#ifndef ANY_COPIES
    ; copies = ON_DISK(0, n, VALUE(me, n)) + ON_DISK(1, n, VALUE(me, n)) + ON_DISK(2, n, VALUE(me, n));
    durable_in_a_quorum = copies >= MAJORITY;
    assert(durable_in_a_quorum)
#endif
}

#ifdef MUTATION_DUPLICATE_COUNTED_TWICE
#define MAY_COUNT(b, n) (leads[me] == b && votes[(b) * 2 + (n) - 1] < MAJORITY && (HAS(b, 0, n) || HAS(b, 1, n) || HAS(b, 2, n)))
#define COUNT_REPLY(b, n) :: d_step { MAY_COUNT(b, n) -> votes[(b) * 2 + (n) - 1]++; printf("%d counts one more reply\n", me) }
#else
#define COUNT_REPLY(b, n)
#endif

/* leading.py: resign, become */
#define MAY_RESIGN(b) (leads[me] == b)
inline resign(b) {
    printf("%d resigns ballot %d\n", me, b);
    leave(me);
    received[me] = committed[me]
}

/* state.py: _restore */
inline restart() {
    printf("%d crashes and restarts\n", me);
    leave(me);
    promised[me] = disk_promised[me]; ballot[me] = 0;
    entries[AT(me, 1)] = disk_entries[AT(me, 1)]; entries[AT(me, 2)] = disk_entries[AT(me, 2)];
    committed[me] = MIN(disk_committed[me], LAST(me));
    received[me] = committed[me]
}

#define ON_LSN(b, n) \
    :: d_step { MAY_ACCEPT(b, n)  -> accept(b, n) } \
    :: d_step { MAY_COMMIT(b, n)  -> commit(b, n) } \
    COUNT_REPLY(b, n)

#define ON_BALLOT(b) \
    :: d_step { MAY_CAMPAIGN(b)   -> campaign(b) } \
    :: d_step { MAY_PROMISE(b, 0) -> make_promise(b, 0) } \
    :: d_step { MAY_PROMISE(b, 1) -> make_promise(b, 1) } \
    :: d_step { MAY_PROMISE(b, 2) -> make_promise(b, 2) } \
    :: d_step { MAY_WIN(b, 0)     -> win(b, 0) } \
    :: d_step { MAY_WIN(b, 1)     -> win(b, 1) } \
    :: d_step { MAY_WIN(b, 2)     -> win(b, 2) } \
    :: d_step { MAY_PROPOSE(b)    -> propose(b) } \
    :: d_step { MAY_FOLLOW(b)     -> follow(b) } \
    :: d_step { MAY_LEARN(b)      -> learn(b) } \
    :: d_step { MAY_RESIGN(b)     -> resign(b) } \
    ON_LSN(b, 1) \
    ON_LSN(b, 2)

active [NODES] proctype replica() {
    byte me = _pid;
    do
    ON_BALLOT(1)
    ON_BALLOT(2)
#if BALLOTS > 2
    ON_BALLOT(3)
#endif
    :: d_step { MAY_FSYNC -> persist() }
    :: d_step { true      -> restart() }
    od
}
