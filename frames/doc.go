// Package frames is the wire codec: it says what bytes mean in MQTT 3.1, 3.1.1
// and 5.0. It knows all fifteen Control Packet types, the properties and Reason
// Codes of 5.0, the syntax of topics, and the algebra of Topic Filters. It uses
// nothing but the standard library, does no I/O of its own and logs nothing.
//
// # How data flows
//
// Bytes are read into the tail of a [Buffer] ([Buffer.Space], [Buffer.Filled]),
// and [Buffer.Next] cuts whole Control Packets off its front without copying
// them. A [Reader] does both over an io.Reader. What the borders of reads or of
// WebSocket messages were means nothing [MQTT-6.0.0-2].
//
// A [Packet] is a view: Raw is the packet as it came, to be forwarded unchanged,
// Body what a Parse function decodes. Each packet type is a struct with a Parse
// function and an Append method that writes the whole packet. Parsing a PUBLISH
// or an acknowledgement allocates nothing.
//
// Two kinds of errors leave a packet of use, since brokers are sloppy and a session need
// not end for it: [ErrReasonCode], nothing but an illegal Reason Code, and
// [ErrFaultyMessage], a PUBLISH that can be dropped and completed. What is too large to be
// held is judged by its front ([ParsePublishHead]) and passed over ([Buffer.Skip]).
//
// # What callers must keep
//
//   - Slices in a Packet and in parsed structs are views, valid until the next
//     Space of the Buffer (the next ReadPacket of the Reader). Who keeps one for
//     longer copies it. Strings are copies already.
//   - Strings given to Append are at most [MaxStringBytes] long, and properties
//     were parsed or built by the Append methods of [Properties]. What breaks that
//     cannot be encoded, and panics as the bug that it is.
//   - [Match], [Covers], [Overlaps] and [Intersect] take filters and names that
//     [CheckTopicFilter] and [CheckTopicName] accept, without $share/<group>/.
//
// # How strict it is
//
// Both directions go through the same functions, strict as the specifications
// are for the sender. What breaks a rule gives an [*Error] that names it. The
// specifications' SHOULD NOT (control characters and non-characters in strings)
// is accepted. MQTT 3.1 marks bits that it does not use with an "x": they are not
// looked at. What is legal in one direction only (a Subscription Identifier in a
// PUBLISH, a Reason Code that only a server may send) is the caller's to judge:
// a packet does not say who sent it.
package frames
