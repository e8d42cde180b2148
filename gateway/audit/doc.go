// Package audit tells operators what the gateway refused (and, if they ask for it, what it allowed),
// without ever making a client wait for it.
//
//	Record -> fold table -> one queue and one goroutine for each sink -> Sink.Write
//
// Record takes any goroutine's event and returns at once. Events that are equal in all but their time
// are folded into one with a count until a second after the first event has passed, so a client that
// repeats what is refused fills one record a second and not a queue. Then the table goes, as batches
// that all sinks share, to each sink's own bounded queue: a Redis that hangs delays neither standard
// output nor the gateway.
//
// A sink is a file here: writer.go (standard output), redis.go, file.go, webhook.go, mqtt.go. Each writes a
// batch or says how much of it; trying again is the queue's. read.go reads the Redis stream back.
//
// Nothing waits for room. What a full table, a full queue or the end of the process made the log
// lose is counted, told to Options.Dropped, and, as soon as there is room again, written as an event of
// its own: reason "audit_queue_full", the number in count, and the user or the address whose share of the
// table or the queue was used up, nothing else. What a sink refuses for good is such an event of reason
// "audit_sink_refused", together with what comes next. It counts operations, so a folded event counts as
// often as it happened.
//
// # What callers must keep
//
// Strings of an Event live as long as the queues hold them: no views into packet buffers. No payload, no
// password and no token belongs in any field. Control characters in names that clients chose may stand
// there; a sink for text escapes them. Run ends after everything that records has ended, else the last
// events stay in the table.
package audit
