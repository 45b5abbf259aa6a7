/*
 * Election and leader lease of one replication group: three replicas, discrete time. See README.md for what is abstracted.
 *
 * One step of a replica is atomic: it takes one message (or its timer), fsyncs what the code fsyncs before it answers, and answers.
 * A message may be taken late, out of order, twice, by some only, or never. With -DREADS there is a write, and strong reads.
 */
#define NODES    3
#ifndef BALLOTS
#define BALLOTS  3
#endif
#define MAJORITY 2
#define OWNER(b) (((b) - 1) % NODES)   /* a ballot is (number, node): the node is part of it, so every ballot has one owner */

/* Ticks. Over one lease a clock errs by up to DRIFT; the code allows for BOUND. The worst case alone is modelled: the leader's
   clock is slow (its lease lasts longest in true time), the grantor's is fast (its grant ends earliest). */
#define LEASE 2
#define DRIFT 1
#ifdef MUTATION_NO_DRIFT_BOUND
#define BOUND 0
#else
#define BOUND 1
#endif
#define LEADER_TICKS (LEASE - BOUND + DRIFT)   /* timing.py: leader_lease_seconds, from SEND */
#define GRANT_TICKS  (LEASE + BOUND - DRIFT)   /* timing.py: grant_seconds, from RECEIPT */

#define BIT(i)       (1 << (i))
#define COUNT(m)     (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1))
#define MAX(a, b)    ((a) > (b) -> (a) : (b))

/* --- replicas ------------------------------------------------------------------------------------------------------------ */
byte promised[NODES];      /* durable */
byte grant[NODES];         /* to this ballot ... */
byte grant_left[NODES];    /* ... for so many ticks of true time */
byte released[NODES];      /* leases of ballots up to this one were given up, as far as it has heard */
byte candidate[NODES];     /* campaigns with this ballot, or 0 */
byte leads[NODES];         /* leads this ballot, or 0 */
byte lease_left[NODES];    /* trusts its lease for so many ticks */
byte votes[NODES];         /* a candidate's: bit: promised by this voter */
#ifdef READS
bool accepted[NODES];      /* durable: the write is in its WAL */
bool votes_write[NODES];   /* one of the promises holds the write */
bool applied[NODES];       /* the leader's item table shows the write */
#endif

/* --- messages in the air, by ballot ----------------------------------------------------------------------------------------- */
byte heartbeat[BALLOTS + 1];         /* bit a: one was sent a ticks ago (a leader sends one every tick) */
byte renewal[BALLOTS + 1];           /* bit a: somebody has granted the one sent a ticks ago */
bool resigned[BALLOTS + 1];
#ifdef READS
bool proposes[BALLOTS + 1];          /* Accept with the write */
byte stored[BALLOTS + 1];            /* bit: AcceptReply by this voter */
#endif

/* --- what the invariants need ------------------------------------------------------------------------------------------- */
bool led[BALLOTS + 1];               /* somebody was leader of it */
#ifdef READS
bool must_recommit[BALLOTS + 1];     /* its leader re-proposes what may have been acknowledged */
bool acknowledged;
#endif

hidden byte at_most_one_valid_lease;
hidden byte at_most_one_leader_per_ballot;
hidden byte strong_read_sees_acknowledged_write;

#define HOLDS_LEASE(i)  (leads[i] != 0 && lease_left[i] > 0)
#ifdef MUTATION_SERVES_BEFORE_CAUGHT_UP
#define ESTABLISHED(i)  HOLDS_LEASE(i)
#else
#define ESTABLISHED(i)  (HOLDS_LEASE(i) && (!must_recommit[leads[i]] || applied[i]))
#endif
#define READ_OK(i)      (!ESTABLISHED(i) || !acknowledged || applied[i])

inline check() {
#ifndef ANY_LEASES
    at_most_one_valid_lease = HOLDS_LEASE(0) + HOLDS_LEASE(1) + HOLDS_LEASE(2) <= 1;
    assert(at_most_one_valid_lease);
#endif
#ifdef READS
    strong_read_sees_acknowledged_write = READ_OK(0) && READ_OK(1) && READ_OK(2);
    assert(strong_read_sees_acknowledged_write)
#endif
}

/* --- steps ----------------------------------------------------------------------------------------------------------------- */
#ifdef MUTATION_VOTER_IGNORES_GRANT
#define BOUND_BY_GRANT(i, b) false
#else
#define BOUND_BY_GRANT(i, b) (grant_left[i] > 0 && grant[i] != (b))
#endif
#ifdef MUTATION_CANDIDATE_IGNORES_OWN_GRANT
#define FREE_TO_CAMPAIGN(i) true
#else
#define FREE_TO_CAMPAIGN(i) (grant_left[i] == 0)
#endif

inline leave(i) {
    candidate[i] = 0; votes[i] = 0; leads[i] = 0; lease_left[i] = 0;
#ifdef READS
    votes_write[i] = 0; applied[i] = 0
#endif
}

inline bind(i, b) { grant[i] = b; grant_left[i] = GRANT_TICKS }

inline unbind(i) {   /* lease.py: Grant.remaining is 0 for a released ballot */
    if
    :: grant[i] <= released[i] -> grant[i] = 0; grant_left[i] = 0
    :: else
    fi
}

/* campaigning.py: campaign, drive, _raise_ballot. The Prepare leaves when the own promise is durable. */
#define MAY_CAMPAIGN(b) (OWNER(b) == me && leads[me] == 0 && b > promised[me] && FREE_TO_CAMPAIGN(me))
inline campaign(b) {
    printf("%d campaigns with ballot %d\n", me, b);
    leave(me);
    promised[me] = b; candidate[me] = b; votes[me] = BIT(me);
#ifdef READS
    votes_write[me] = accepted[me]
#endif
}

/* following.py: on_prepare, _promise; campaigning.py: on_promise. A Prepare or Promise that comes after its candidate has gone changes
   nothing but the voter's promise, which only binds it more; so it is not modelled. */
#define MAY_PROMISE(b) (OWNER(b) != me && candidate[OWNER(b)] == b && !(votes[OWNER(b)] & BIT(me)) && b >= promised[me] && \
    (!BOUND_BY_GRANT(me, b) || grant[me] <= released[OWNER(b)]))
inline promise(b) {
    printf("%d promises ballot %d\n", me, b);
    leave(me);
    released[me] = MAX(released[me], released[OWNER(b)]);
    unbind(me);
    promised[me] = b;
    votes[OWNER(b)] = votes[OWNER(b)] | BIT(me);
#ifdef READS
    votes_write[OWNER(b)] = votes_write[OWNER(b)] || accepted[me]
#endif
}

/* campaigning.py: _count, choose; leading.py: begin */
#define MAY_WIN(b) (candidate[me] == b && COUNT(votes[me]) >= MAJORITY)
inline win(b) {
    printf("%d leads ballot %d\n", me, b);
    at_most_one_leader_per_ballot = !led[b];
    assert(at_most_one_leader_per_ballot);
    candidate[me] = 0; votes[me] = 0; leads[me] = b; led[b] = true;
    bind(me, b);
    heartbeat[b] = 1;
#ifdef READS
    if
    :: votes_write[me] ->
        votes_write[me] = 0; must_recommit[b] = true; proposes[b] = true; accepted[me] = true; stored[b] = stored[b] | BIT(me)
    :: else
    fi
#endif
}

/* following.py: obeys, on_heartbeat. The promise is durable before the reply leaves. */
#define OBEYS(b) (OWNER(b) != me && b >= promised[me] && b > released[me])
#define MAY_GRANT(b, age) (OBEYS(b) && (heartbeat[b] & BIT(age)))
inline grant_lease(b, age) {
    printf("%d grants ballot %d the lease of %d ticks ago\n", me, b, age);
    leave(me);
    promised[me] = b;
    bind(me, b);
    renewal[b] = renewal[b] | BIT(age)
}

/* leading.py: on_heartbeat_reply; lease.py: Lease.acknowledged. One peer and the leader itself are a majority. */
#define MAY_RENEW(b, age) (leads[me] == b && (renewal[b] & BIT(age)) && (lease_left[me] < LEADER_TICKS - (age) || grant_left[me] < GRANT_TICKS))
inline renew(b, age) {
    printf("%d has the lease of ballot %d renewed, sent %d ticks ago\n", me, b, age);
#ifdef MUTATION_LEASE_FROM_RECEIPT
    lease_left[me] = LEADER_TICKS;
#else
    lease_left[me] = MAX(lease_left[me], LEADER_TICKS - age);
#endif
    bind(me, b);
    check()
}

#ifdef READS
/* leading.py: propose, flush */
#define MAY_PROPOSE(b) (leads[me] == b && ESTABLISHED(me) && !proposes[b])
inline propose(b) {
    printf("%d proposes the write in ballot %d\n", me, b);
    proposes[b] = true; accepted[me] = true; stored[b] = stored[b] | BIT(me)
}

/* following.py: on_accept; state.py: append, Persisted */
#define MAY_ACCEPT(b) (proposes[b] && OBEYS(b) && !(stored[b] & BIT(me)))
inline accept(b) {
    printf("%d stores the write of ballot %d\n", me, b);
    leave(me);
    promised[me] = b; accepted[me] = true; stored[b] = stored[b] | BIT(me)
}

/* leading.py: advance */
#define MAY_COMMIT(b) (leads[me] == b && !applied[me] && proposes[b] && COUNT(stored[b]) >= MAJORITY)
inline commit(b) {
    printf("%d acknowledges the write in ballot %d\n", me, b);
    applied[me] = true; acknowledged = true;
    check()
}
#endif

/* leading.py: resign: a planned hand-over, or a lease that ran out */
#define MAY_RESIGN(b) (leads[me] == b && !resigned[b])
inline resign(b) {
    printf("%d resigns ballot %d\n", me, b);
    resigned[b] = true; released[me] = MAX(released[me], b);
#ifndef MUTATION_RESIGNS_BUT_KEEPS_LEASE
    leave(me);
#endif
    unbind(me)
}

/* following.py: on_resign */
#define MAY_HEAR_RESIGN(b) (resigned[b] && OWNER(b) != me && b > released[me] && leads[me] == 0)
inline hear_resign(b) {
    printf("%d hears that ballot %d is given up\n", me, b);
    released[me] = b;
    unbind(me)
}

/* state.py: _restore. A crash is the same step: until a replica restarts it takes no other. */
#define MAY_RESTART (promised[me] != 0 && (leads[me] || candidate[me] || released[me] || grant[me] != promised[me] || grant_left[me] < GRANT_TICKS))
inline restart() {
    printf("%d restarts\n", me);
    leave(me);
    released[me] = 0;
#ifdef MUTATION_RESTART_FORGETS_PROMISE
    promised[me] = 0;
#endif
#ifdef MUTATION_RESTART_FORGETS_GRANT
    grant[me] = 0; grant_left[me] = 0
#else
    bind(me, promised[me])
#endif
}

#ifdef READS
#define WRITE(b) \
    :: d_step { MAY_PROPOSE(b)     -> propose(b) } \
    :: d_step { MAY_ACCEPT(b)      -> accept(b) } \
    :: d_step { MAY_COMMIT(b)      -> commit(b) }
#else
#define WRITE(b)
#endif

#define ON_BALLOT(b) \
    :: d_step { MAY_CAMPAIGN(b)    -> campaign(b) } \
    :: d_step { MAY_PROMISE(b)     -> promise(b) } \
    :: d_step { MAY_WIN(b)         -> win(b) } \
    :: d_step { MAY_GRANT(b, 0)    -> grant_lease(b, 0) } \
    :: d_step { MAY_GRANT(b, 1)    -> grant_lease(b, 1) } \
    :: d_step { MAY_RENEW(b, 0)    -> renew(b, 0) } \
    :: d_step { MAY_RENEW(b, 1)    -> renew(b, 1) } \
    WRITE(b) \
    :: d_step { MAY_RESIGN(b)      -> resign(b) } \
    :: d_step { MAY_HEAR_RESIGN(b) -> hear_resign(b) }

active [NODES] proctype replica() {
    byte me = _pid;
    do
    ON_BALLOT(1)
    ON_BALLOT(2)
#if BALLOTS > 2
    ON_BALLOT(3)
#endif
#if BALLOTS > 3
    ON_BALLOT(4)
#endif
    :: d_step { MAY_RESTART -> restart() }
    od
}

inline older(b) {
    heartbeat[b] = ((heartbeat[b] << 1) & 3) | (leads[OWNER(b)] == b);   /* leading.py: _heartbeat */
    renewal[b] = (renewal[b] << 1) & 3
}

inline elapse(i) {
    lease_left[i] = MAX(lease_left[i], 1) - 1;
    grant_left[i] = MAX(grant_left[i], 1) - 1;
    if
    :: grant_left[i] == 0 -> grant[i] = 0
    :: else
    fi
}

active proctype time() {
    do
    :: d_step {
        true -> printf("tick\n");
        elapse(0); elapse(1); elapse(2);
        older(1); older(2);
#if BALLOTS > 2
        older(3);
#endif
#if BALLOTS > 3
        older(4)
#endif
       }
    od
}
