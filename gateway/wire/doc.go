// Package wire moves bytes between the gateway and its peers.
//
//	socket.go       one connection: it reads whole chunks, by system calls that leave the scheduler alone (rawio), and
//	                tells its reader when nothing more is ready
//	socketwrite.go  its other half: whole buffers, under a deadline that is moved now and then
//	outbound.go     collects Control Packets for one peer and writes many at once: the back-pressure
//	handshake.go    turns for connections that are no sessions yet, when many come at once
//	resting.go      a read that has waited for long and is asked to give that up
//	lot_linux.go    one goroutine that waits for all who have
//	hijack.go       a read buffer of our own below the WebSocket
//	direction.go    up and down
//
// A packet that is forwarded unchanged is the bytes that came, copied at most once; nothing here allocates for one.
//
// Callers keep this: one goroutine reads a Socket, any number write; an Outbound may be used by all of them, and who
// adds to it waits while its peer does not read. What an Outbound was given to forward stays valid until TakeOver or
// Flush.
//
// # Locks
//
// An Outbound's lock is held over a write, so for as long as the write timeout; a Socket's turn likewise. Nobody may
// take an Outbound's who must not wait. The deadline's lock (writing.mu), that of a Lot and a handshake's turn are held
// for a moment and over nothing that waits. The order is Outbound, turn, deadline; a Lot's stands alone: it resumes
// with a goroutine of its own.
package wire
