package frames

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// legalCuts lists, by golden packet, the shorter bodies that are legal, and why.
var legalCuts = map[string]struct {
	why     string
	lengths []int
}{
	"3.1 section 3.1, its example payload": {"3.1: password, or both, may be missing", []int{34, 39}},
	"3.1: password flagged but missing":    {"3.1: the user name may be missing too", []int{17}},
	"3.1 duplicate, QoS 2, retained":       {"shorter payload", []int{7, 8}},

	"5.0 Topic Alias without a name, 3.3.2.3.4":                        {"no payload", []int{6}},
	"5.0 Subscription Identifiers of several subscriptions, 3.3.2.3.8": {"no payload", []int{9}},

	"5.0 Success, said":                          {"reason code left out", []int{2}},
	"5.0 Success, said, and no properties":       {"properties, reason code left out", []int{2, 3}},
	"5.0 not authorized":                         {"reason code left out", []int{2}},
	"5.0 PUBREC with properties":                 {"properties, reason code left out", []int{2, 3}},
	"5.0 PUBREL not found":                       {"reason code left out", []int{2}},
	"5.0 PUBCOMP Success with properties":        {"properties, reason code left out", []int{2, 3}},
	"5.0 section 3.14 normal, said":              {"properties, reason code left out", []int{0, 1}},
	"5.0 section 3.14 with Will":                 {"reason code left out", []int{0}},
	"5.0 figure 3-24: Session Expiry Interval 0": {"properties, reason code left out", []int{0, 1}},
	"5.0 section 3.15 re-authenticate":           {"the empty AUTH is Success, 3.15.2.1", []int{0}},

	"3.1.1 figure 3.23: a/b QoS 1, c/d QoS 2":           {"one filter", []int{8}},
	"5.0 figure 3-21: a/b QoS 1, c/d QoS 2":             {"one filter", []int{9}},
	"3.1.1 figure 3.26: granted 0 and 2, and a failure": {"fewer codes", []int{3, 4}},
	"3.1 section 3.9: granted 0 and 2":                  {"fewer codes", []int{3}},
	"5.0 section 3.9":                                   {"fewer codes", []int{8, 9}},
	"3.1.1 figure 3.30: a/b, c/d":                       {"one filter", []int{7}},
	"5.0 figure 3-30: a/b, c/d":                         {"one filter", []int{8}},
	"5.0 section 3.11":                                  {"one code", []int{4}},
}

func TestEveryShorterBodyIsAnErrorUnlessItIsLegal(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range goldenPackets {
		p := cut(t, unhex(t, tt.hex), tt.v)
		var legal []int
		for n := range p.Body {
			// The fixed header says the shorter length too, so that only the body is cut.
			raw := append(appendVarint([]byte{p.Raw[0]}, n), p.Body[:n]...)
			m, err := parse(cut(t, raw, tt.v), tt.v)
			if err == nil {
				legal = append(legal, n)
				if again := m.Append(nil, tt.v); len(again) > len(raw) {
					t.Errorf("%s cut to %d: Append writes %d bytes more than were read", tt.name, n, len(again)-len(raw))
				}
			} else if _, isError := errors.AsType[*Error](err); !isError {
				t.Errorf("%s cut to %d: error %v; want an *Error", tt.name, n, err)
			}
		}
		if want := legalCuts[tt.name].lengths; !slices.Equal(legal, want) {
			t.Errorf("%s is also legal cut to %v; want %v", tt.name, legal, want)
		}
		seen[tt.name] = true
	}
	for name := range legalCuts {
		if !seen[name] {
			t.Errorf("legalCuts names %q, which is no golden packet", name)
		}
	}
}

func TestAPacketIsCutOnlyWhenItIsThere(t *testing.T) {
	for _, tt := range goldenPackets {
		raw := unhex(t, tt.hex)
		for n := range raw {
			if p, ok, err := Cut(raw[:n], tt.v, 0); ok || err != nil || p.Raw != nil {
				t.Errorf("%s: Cut of %d of %d bytes = % x, %v, %v; want to wait", tt.name, n, len(raw), p.Raw, ok, err)
			}
		}
		more := append(slices.Clone(raw), 0xff, 0xff)
		p, ok, err := Cut(more, tt.v, len(raw))
		if !ok || err != nil || !bytes.Equal(p.Raw, raw) || !bytes.HasSuffix(raw, p.Body) {
			t.Errorf("%s: Cut with bytes behind = % x, %v, %v; want % x", tt.name, p.Raw, ok, err, raw)
		}
		if &p.Raw[0] != &more[0] {
			t.Errorf("%s: Cut copied the packet", tt.name)
		}
		if cap(p.Raw) != len(p.Raw) || cap(p.Body) != len(p.Body) {
			t.Errorf("%s: appending to the packet would overwrite what follows it", tt.name)
		}
	}
}

func TestRemainingLengthsAtTheBordersOfTheirSizes(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, maxRemainingLength} { // table 1-1
		encoded := appendVarint(nil, n)
		got, size, legal := varint(encoded)
		if int(got) != n || size != len(encoded) || size != varintSize(n) || !legal {
			t.Errorf("varint(% x) = %d, %d, %v; want %d, %d", encoded, got, size, legal, n, varintSize(n))
		}
	}
	for _, n := range []int{3, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152} {
		m := Publish{TopicName: []byte("a"), Payload: make([]byte, n-3)}
		raw := m.Append(nil, V311)
		p, ok, err := Cut(raw, V311, 0)
		if !ok || err != nil || len(p.Body) != n {
			t.Fatalf("Cut of a body of %d bytes = %d bytes, %v, %v", n, len(p.Body), ok, err)
		}
		got, err := ParsePublish(p, V311)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("a PUBLISH with a body of %d bytes does not come back: %v", n, err)
		}
	}
}

// TestAnOversizePublishIsPassedOver shows what a gateway does with a packet that it will
// not hold: learn the size and what to acknowledge from the front, skip the rest.
func TestAnOversizePublishIsPassedOver(t *testing.T) {
	m := Publish{QoS: 1, PacketID: 7, TopicName: []byte("a"), Payload: make([]byte, 10_000)}
	stream := AppendPingresp(m.Append(nil, V311))
	var b Buffer
	stream = stream[feed(&b, stream[:600], 1):]
	_, _, err := b.Next(V311, 5000)
	if e, isError := errors.AsType[*Error](err); !isError || e.Code != PacketTooLarge {
		t.Fatalf("Next = %v; want 0x95", err)
	}
	front := b.Peek()
	head, ok, err := ParsePublishHead(front, V311, 5000)
	if !ok || err != nil || head.PacketID != 7 || head.PacketBytes != 1+2+5+10_000 {
		t.Fatalf("the head is %+v, %v; want packet identifier 7", head, err)
	}
	for left := head.PacketBytes; ; {
		if left -= b.Skip(left); left == 0 {
			break
		}
		stream = stream[feed(&b, stream[:min(len(stream), 600)], 1):]
		if held := len(b.store.bytes); held > 1024 {
			t.Fatalf("%d bytes held of a packet that is passed over", held)
		}
	}
	if p, ok, err := b.Next(V311, 5000); !ok || err != nil || p.Type() != TypePingresp {
		t.Errorf("after it Next = %v, %v, %v; want PINGRESP", p.Type(), ok, err)
	}
}
