package frames

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// unhex reads bytes written as hex, with spaces where they help, and 'text' for ASCII.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatalf("test packet %q: %v", s, err)
		}
		out = append(out, b...)
	}
	return out
}

// cut takes one whole packet that must be all of raw.
func cut(t testing.TB, raw []byte, v Version) Packet {
	t.Helper()
	p, ok, err := Cut(raw, v, 0)
	if err != nil || !ok || len(p.Raw) != len(raw) {
		t.Fatalf("Cut(% x, %v) = %d bytes, %v, %v; want all %d", raw, v, len(p.Raw), ok, err, len(raw))
	}
	return p
}

// parse calls the Parse function for the packet's type; what it returns has an Append.
func parse(p Packet, v Version) (m appender, err error) {
	switch t := p.Type(); t {
	case TypeConnect:
		m, err := ParseConnect(p)
		return &m, err
	case TypeConnack:
		return ParseConnack(p, v)
	case TypePublish:
		m, err := ParsePublish(p, v)
		return &m, err
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		return ParseAck(p, v)
	case TypeSubscribe:
		m, err := ParseSubscribe(p, v)
		return &m, err
	case TypeSuback:
		return ParseSuback(p, v)
	case TypeUnsubscribe:
		return ParseUnsubscribe(p, v)
	case TypeUnsuback:
		return ParseUnsuback(p, v)
	case TypePingreq, TypePingresp:
		return ping(t), nil
	case TypeDisconnect:
		return ParseDisconnect(p, v)
	case TypeAuth:
		return ParseAuth(p, v)
	default:
		return nil, fmt.Errorf("no packet of type %d", t)
	}
}

type appender interface {
	Append(dst []byte, v Version) []byte
}

// ping is a PINGREQ or PINGRESP, which have nothing to parse: Cut refuses a body.
type ping Type

func (p ping) Append(dst []byte, _ Version) []byte {
	if Type(p) == TypePingreq {
		return AppendPingreq(dst)
	}
	return AppendPingresp(dst)
}
