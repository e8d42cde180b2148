// Package store is where the rules of package policy live: in a file and in
// Redis. It gives each session a [Grant], whose Access is kept current.
//
// # From a key to an Access
//
// A Redis key that a session needs is an entry of the cache, shared by all
// sessions that need it, and forgotten with the last of them. [Store.Begin] and
// [Store.Open] read what is missing: the loads that wait at the same time share a
// round trip. What a key holds is kept decoded (rules, sets); from these and the
// session's [policy.Principal] an Access is built, which is swapped in whole, so
// that nobody sees half of a change.
//
// # How a change arrives
//
// The watcher holds one connection to each master on which Redis tells of every
// key that changes (CLIENT TRACKING in broadcasting mode). Its reader only marks
// the entry. A few builders take marked entries, read them, many in one round
// trip, and build the grants that have got another value; then they call what
// Open was given. A change that is marked while its key is read has it read again.
//
// A canary, written each second through the client that reads go through, proves
// that the watching connection still tells everything. Whatever was read before
// that is proved is read again. What is known to be older than Options.StaleMax
// is used no more: every Access then allows nothing until it is known again.
//
// # Order of locks
//
//	Grant.building → cache.mu
//	watcher.mu → cache.mu
//
// loadQueue.mu and Store.mu are taken with no other, and none is taken under them
// or under cache.mu. No lock is held across a round trip, nor while `changed`,
// Observe or the logger is called: those may wait for whoever uses the store.
package store
