// Package policy answers one question: may this principal publish to, receive
// from, or subscribe to that topic?
//
// # Rules
//
// The language is that of mosquitto.conf(5), acl_file, with `role` sections,
// {set} and {claim.path} placeholders, and `deny` anywhere. [Parse] reads a whole
// text and refuses it as a whole; [ParseLines] reads the members of a Redis set
// and leaves out the invalid ones. Both give a [Ruleset]: compiled, immutable,
// independent of any principal, shared by all sessions.
//
// What is decided where the manual pages are silent:
//
//   - deny wins over every allow, whatever sections they stand in, and cuts reading
//     and writing. (In mosquitto the user's own lines come first; [Ruleset.Warnings]
//     has each deny that meets another section.) A topic that no rule matches is denied.
//   - A topic that begins with '$' is reached only by a rule whose first level is
//     written out. A placeholder is not: a user named "$SYS" reaches nothing by
//     `pattern read %u/#`.
//   - A placeholder may be anywhere in a level of a `pattern` line. Its value never
//     brings a wildcard or a new level: one that is empty, over 1 KiB, no UTF-8, or
//     holds '+', '#', '/' or a control character expands to nothing, and its rule,
//     allow or deny, matches nothing.
//   - A {set} or list claim stands for one rule for each of its values: named twice
//     in one rule it is the same value in both places.
//   - `topic` lines take no placeholders, neither below `user` nor below `role`.
//   - A directive (`limit`, `check`, `stamp`, `latest`) restricts what the rules allow. It is of the
//     section that it stands in, below `user` too, takes placeholders everywhere, and does not
//     stand in Redis sets, whose invalid lines are left out alone. All that match a topic apply.
//   - A rule has at most 200 levels, as in mosquitto, and at most 8 different
//     {set} and {claim} placeholders.
//
// # From text to answer
//
// The rules of one scope (everybody, one user, one role) are a trie over topic
// levels: literal children in a map, one child for '+', one edge for each
// different level with placeholders. [NewAccess] picks the tries that concern a
// principal and resolves each placeholder once; it copies no rule and no set, so
// it costs the same for ten rooms and ten thousand. A decision walks those tries
// along the topic: a placeholder is a comparison or a look-up in a set, never an
// enumeration, and no decision allocates. Directives are tries beside those of the rules,
// looked at for a publish that is allowed; what they say of a payload is package payload's to judge.
//
// An [Access] is immutable; a change of rules or sets makes a new one, which the
// caller swaps in atomically. Package store does, for what is kept in a file and
// in Redis; this package knows neither.
package policy
