package frames_test

import (
	"errors"
	"fmt"
	"strings"

	"topicgate/frames"
)

// A stream is read packet by packet, in the version that CONNECT tells.
func ExampleReader() {
	stream := "\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c" + // CONNECT
		"\x30\x08\x00\x03a/b\x00hi" // PUBLISH
	r := frames.NewReader(strings.NewReader(stream), frames.V311, 2<<20)
	first, err := r.ReadPacket()
	if err != nil {
		fmt.Println(err)
		return
	}
	connect, err := frames.ParseConnect(first)
	if err != nil {
		fmt.Println(err)
		return
	}
	r.SetVersion(connect.Version)
	fmt.Println(connect.Version, connect.ClientID)
	second, err := r.ReadPacket()
	if err != nil {
		fmt.Println(err)
		return
	}
	publish, err := frames.ParsePublish(second, connect.Version)
	fmt.Printf("%s: %s, %v\n", publish.TopicName, publish.Payload, err)
	// Output:
	// 5.0 c
	// a/b: hi, <nil>
}

// A broker's illegal Reason Code is noticed, and repaired.
func ExampleParseAck() {
	raw := []byte{0x40, 0x03, 0x00, 0x07, 0x01} // PUBACK, "granted QoS 1"
	p, _, _ := frames.Cut(raw, frames.V5, 0)
	ack, err := frames.ParseAck(p, frames.V5)
	fmt.Println(err)
	if errors.Is(err, frames.ErrReasonCode) {
		ack.Reason = frames.Success
		fmt.Printf("% x\n", ack.Append(nil, frames.V5))
	}
	// Output:
	// PUBACK: protocol error: illegal reason code 0x01 [MQTT-3.4.2-1]
	// 40 02 00 07
}

// What of a filter may be read is its intersection with what a rule allows.
func ExampleIntersect() {
	fmt.Println(frames.Intersect("chat/+/alice/#", "chat/messages/#"))
	fmt.Println(frames.Intersect("#", "$SYS/#"))
	// Output:
	// [chat/messages/alice/#]
	// []
}
