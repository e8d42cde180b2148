package frames

import (
	"bytes"
	"strings"
	"testing"
)

// smallPublish is a QoS 0 PUBLISH of 64 bytes in all.
func smallPublish(v Version) []byte {
	m := Publish{TopicName: []byte("chat/messages/alice/bob")}
	m.Payload = bytes.Repeat([]byte("x"), 64-len(m.Append(nil, v)))
	return m.Append(nil, v)
}

func BenchmarkCutAndParsePublish(b *testing.B) {
	for _, v := range []Version{V311, V5} {
		raw := smallPublish(v)
		b.Run(v.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				p, _, _ := Cut(raw, v, 1<<20)
				if _, err := ParsePublish(p, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCutAndParsePublishWithProperties(b *testing.B) {
	m := Publish{QoS: 1, PacketID: 7, TopicName: []byte("chat/messages/alice/bob"), Payload: []byte("hi")}
	m.Properties = m.Properties.AppendUint(PropTopicAlias, 3)
	m.Properties = m.Properties.AppendPair(PropUserProperty, []byte("topicgate-user"), []byte("alice"))
	raw := m.Append(nil, V5)
	b.ReportAllocs()
	for b.Loop() {
		p, _, _ := Cut(raw, V5, 1<<20)
		if _, err := ParsePublish(p, V5); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendPublish(b *testing.B) {
	raw := smallPublish(V5)
	p, _, _ := Cut(raw, V5, 0)
	m, err := ParsePublish(p, V5)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		dst = m.Append(dst[:0], V5)
	}
}

func BenchmarkParseAck(b *testing.B) {
	raw := Ack{Type: TypePuback, PacketID: 7, Reason: NotAuthorized}.Append(nil, V5)
	b.ReportAllocs()
	for b.Loop() {
		p, _, _ := Cut(raw, V5, 1<<20)
		if _, err := ParseAck(p, V5); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	topicName := []byte("chat/messages/alice/bob")
	for _, filter := range []string{"chat/messages/alice/bob", "chat/messages/+/bob", "chat/messages/#", "news/#"} {
		b.Run(strings.ReplaceAll(filter, "/", "."), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Match(filter, topicName)
			}
		})
	}
}

func BenchmarkCheckTopicFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckTopicFilter("$share/group/chat/messages/+/bob"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuffer reads a stream of 64-byte packets in chunks that end inside packets.
func BenchmarkBuffer(b *testing.B) {
	stream := bytes.Repeat(smallPublish(V5), 1000)
	var buf Buffer
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		for rest := stream; len(rest) > 0; {
			n := copy(buf.Space(1024), rest)
			buf.Filled(n)
			rest = rest[n:]
			for {
				_, ok, err := buf.Next(V5, 1<<20)
				if err != nil {
					b.Fatal(err)
				}
				if !ok {
					break
				}
			}
		}
		buf.Release()
	}
}
