package frames

import (
	"reflect"
	"strings"
	"testing"
)

func TestThePathOfAPublishAllocatesNothing(t *testing.T) {
	alias := Properties(nil).AppendUint(PropTopicAlias, 3).AppendPair(PropUserProperty, []byte("topicgate-user"), []byte("alice"))
	full := Publish{
		QoS: 2, PacketID: 7, TopicName: []byte("chat/räume/alice/messages"), Payload: []byte("hi"),
		Properties: alias.AppendBytes(PropResponseTopic, []byte("chat/messages/alice/bob")),
	}
	publishes := map[Version][]byte{V31: smallPublish(V31), V311: smallPublish(V311), V5: full.Append(nil, V5)}
	ack := Ack{Type: TypePuback, PacketID: 7, Reason: NotAuthorized, Properties: Properties(nil).AppendBytes(PropReasonString, []byte("no"))}
	rawAck := ack.Append(nil, V5)
	dst := make([]byte, 0, 1024)
	name, longName := []byte("chat/messages/alice/bob"), strings.Repeat("level/", 100)
	stream := append(append([]byte(nil), smallPublish(V5)...), smallPublish(V5)[:40]...)
	var buf Buffer

	tests := map[string]func(){
		"ParseAck": func() { _, _ = ParseAck(mustCut(rawAck, V5), V5) },
		"Append":   func() { dst = ack.Append(full.Append(dst[:0], V5), V5) },
		"Properties": func() {
			for p := range full.Properties.All() {
				_, _ = p.Pair()
			}
			_, _ = full.Properties.Uint(PropTopicAlias)
			_, _ = full.Properties.Bytes(PropResponseTopic)
		},
		"Match": func() {
			Match("chat/messages/+/bob", name)
			Match([]byte("chat/#"), longName)
			Match("level/+/#", longName)
		},
		"CheckTopicName":   func() { _, _ = CheckTopicName(longName), CheckTopicName(name) },
		"CheckTopicFilter": func() { _, _ = CheckTopicFilter(longName), CheckTopicFilter(name) },
		"Covers":           func() { Covers("chat/+/#", "chat/messages/+/bob"); Overlaps("chat/+/bob", "chat/messages/#") },
		"Buffer without its pool": func() {
			feed(&buf, stream[buf.Len():], 512)
			_, _, _ = buf.Next(V5, 0)
		},
	}
	for v, raw := range publishes {
		tests["ParsePublishHead "+v.String()] = func() {
			if _, ok, err := ParsePublishHead(raw, v, 0); !ok || err != nil {
				t.Error(ok, err)
			}
		}
		tests["ParsePublish "+v.String()] = func() {
			if _, err := ParsePublish(mustCut(raw, v), v); err != nil {
				t.Error(err)
			}
		}
	}
	if !underRace {
		tests["Buffer"] = func() {
			var b Buffer
			feed(&b, stream[:64], 512)
			_, _, _ = b.Next(V5, 0)
			b.Release()
		}
	}
	for name, f := range tests {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times; want 0", name, n)
		}
	}
}

func mustCut(raw []byte, v Version) Packet {
	p, ok, err := Cut(raw, v, 1<<20)
	if !ok || err != nil {
		panic("test packet is not whole")
	}
	return p
}

// TestWhatASessionKeepsIsACopy: Client Identifiers, filters and codes outlive the buffer
// that they came in, and so does a Clone of a Connect.
func TestWhatASessionKeepsIsACopy(t *testing.T) {
	for _, tt := range goldenPackets {
		raw := unhex(t, tt.hex)
		p := cut(t, raw, tt.v)
		m, err := parse(p, tt.v)
		if err != nil {
			t.Fatal(err)
		}
		switch got := m.(type) {
		case *Connect:
			clone := got.Clone()
			m = &clone
		case *Subscribe, Suback, Unsubscribe, Unsuback:
			if tt.v == V5 {
				continue // properties are views
			}
		default:
			continue // views
		}
		clear(raw)
		if !reflect.DeepEqual(m, tt.want) {
			t.Errorf("%s: with its buffer overwritten it is %+v; want %+v", tt.name, m, tt.want)
		}
	}
}
