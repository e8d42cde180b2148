package policy

import (
	"fmt"
	"strings"
	"testing"
)

// manyRules is a text of n rules of all kinds, most with a name of their own.
func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "pattern read app%d/messages/%%u/+\n", i)
		case 1:
			fmt.Fprintf(&b, "pattern write app%d/messages/+/%%u\n", i)
		case 2:
			fmt.Fprintf(&b, "pattern readwrite app%d/room/{rooms}/#\n", i)
		case 3:
			fmt.Fprintf(&b, "pattern deny app%d/room/+/private\n", i-1)
		case 4:
			fmt.Fprintf(&b, "pattern read +/app%d/{claim.tenant}/%%u-{rooms}\n", i)
		}
	}
	return b.String()
}

func BenchmarkReceive(b *testing.B) {
	for _, rules := range []int{10, 40, 1000, 10000} {
		for _, members := range []int{1, 100, 10000} {
			a := NewAccess(Principal{Username: "alice", Claims: `{"tenant": "acme"}`},
				map[string]Set{"rooms": rooms(members)}, mustParse(b, manyRules(rules)))
			topic := []byte(fmt.Sprintf("app%d/room/room-00000/messages", rules-3))
			b.Run(fmt.Sprintf("rules=%d/rooms=%d", rules, members), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !a.Receive(topic).Allowed {
						b.Fatal("denied")
					}
				}
			})
		}
	}
}

// Levels that begin with a text of their own must not be tried one by one.
func BenchmarkReceiveMixedLevels(b *testing.B) {
	for _, rules := range []int{10, 1000} {
		var text strings.Builder
		for i := range rules {
			fmt.Fprintf(&text, "pattern read room/t%d-%%u/{rooms}\n", i)
		}
		a := NewAccess(Principal{Username: "alice"}, map[string]Set{"rooms": rooms(100)}, mustParse(b, text.String()))
		topic := []byte(fmt.Sprintf("room/t%d-alice/room-00000", rules-1))
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !a.Receive(topic).Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}

func BenchmarkNewAccess(b *testing.B) {
	rs := mustParse(b, manyRules(1000))
	sets := map[string]Set{"rooms": rooms(10000)}
	first := Principal{Username: "alice", Claims: `{"iss":"https://issuer.example","aud":"topicgate","sub":"alice","iat":1764140000,` +
		`"exp":1764143600,"jti":"token-1","roles":["user"],"tenant":"acme"}`}
	for name, earlier := range map[string]*Access{"first": nil, "again": NewAccess(first, sets, rs)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				earlier.Next(first, sets, rs)
			}
		})
	}
}

func BenchmarkSubscribe(b *testing.B) {
	a := NewAccess(Principal{Username: "alice"}, map[string]Set{"rooms": rooms(10000)}, mustParse(b, manyRules(1000)))
	b.ReportAllocs()
	for b.Loop() {
		if !a.Subscribe("app2/room/room-00000/#").Allowed {
			b.Fatal("denied")
		}
	}
}

func BenchmarkNarrow(b *testing.B) {
	for _, members := range []int{1, 100, 10000} {
		a := NewAccess(Principal{Username: "alice"}, map[string]Set{"rooms": rooms(members)}, mustParse(b, manyRules(40)))
		for _, filter := range []string{"app2/room/+/x", "app2/room/room-00000/#"} {
			b.Run(fmt.Sprintf("rooms=%d/%s", members, strings.ReplaceAll(filter, "/", ".")), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, complete := a.Narrow(filter, 20000); !complete {
						b.Fatal("incomplete")
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := manyRules(10000)
	b.ReportAllocs()
	for b.Loop() {
		mustParse(b, text)
	}
}

// What a publish costs with rules alone, with directives for other topics, and with some for its own.
func BenchmarkPublishWithDirectives(b *testing.B) {
	rules := manyRules(40)
	for _, tt := range []struct{ name, directives string }{
		{"none", ""},
		{"elsewhere", "limit app0/+ max_qos=1\nlimit app5/messages/# max_size=1MiB\n"},
		{"here", "limit app2/room/+/messages max_qos=1\n"},
	} {
		a := NewAccess(Principal{Username: "alice", Claims: `{"tenant": "acme"}`}, map[string]Set{"rooms": rooms(100)}, mustParse(b, rules+tt.directives))
		topic := []byte("app2/room/room-00000/messages")
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !a.Publish(topic).Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}
