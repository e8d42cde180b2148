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
// What `check` directives name, schemas and sets of words, are keys like others, compiled once for all sessions. Their
// entries stay for good, and with them their last good form; of a Grant, [Grant.Checked] gives them together with the
// Access whose directives name them.
//
// # How a change arrives
//
// The watcher holds one connection to each master on which Redis tells of every
// key that changes (CLIENT TRACKING in broadcasting mode). Its reader only marks
// the entry. A few builders take marked entries, read them, many in one round
// trip, and build the grants that have got another value; then they call what
// Open was given. A change that is marked while its key is read has it read again.
// The mark's time goes on from the key to the grant, and to what the grant newly
// needs, until the change is felt.
//
// A canary, written each second through the client that reads go through, proves
// that the watching connection still tells everything; where Redis refuses writes
// it is a message to that connection. Whatever was read before that is proved is
// read again. When nothing can be watched or read for longer than
// Options.StaleMax, every Access allows nothing until what was missed is known.
//
// # One party's trouble
//
// Builds and reads serve users in turn, by cost (package fair). A set that is more than
// one reply is to hold, and a key that could not be read together with others, is
// read alone, piece by piece, on other connections ([scan]); what is too large is
// not read, and denies everything to who needs it. A grant whose own keys cannot be
// read for longer than StaleMax is denied alone, and comes back by itself.
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
