// Package metrics counts what happens in the gateway, for Prometheus, and answers operators who ask.
//
// Metrics is the one place that names metrics. Whoever counts calls one of its methods; the words for reasons and
// results belong to the packages that find them and come to New as Labels, so that each series is there from the start,
// at 0. The pumps count into PacketCounts of their own and hand those over before they wait: a packet costs two
// additions and touches no memory that another session touches.
//
// AdminHandler serves /metrics, /healthz, /readyz and /sessions.
//
// Callers need keep nothing: all methods but those of PacketCounts may be called at any time, and take no lock that
// is held for longer than an addition.
package metrics
