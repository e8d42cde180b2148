// Package evict ends, at their brokers, the MQTT Sessions of users who may not have any more: those who are blocked.
//
// A user who is on is ended by its own sessions. What sleeps at a broker nobody serves: messages gather for it, and a
// Will with a Will Delay waits. So whenever the set of blocked users changes, whoever is new in it is looked up in
// sleep.Index, and each MQTT Session is taken over by a connection of the gateway's own, which calls the Will off
// [MQTT-3.1.3-9], and left with a Session Expiry Interval of zero. Each instance does that; twice does no harm. What
// a broker that is away keeps from being ended is tried again until it is back.
package evict
