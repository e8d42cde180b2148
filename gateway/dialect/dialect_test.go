package dialect

import (
	"strings"
	"testing"

	"topicgate/frames"
)

func TestTopicsThatABrokerTakesForOthersAreRefused(t *testing.T) {
	all := []Dialect{MQTT, RabbitMQ, NATS, EMQX}
	for _, c := range []struct {
		topic   string
		refused []Dialect
	}{
		{"chat/room/lobby", nil},
		{"chat//lobby/", nil},
		{"/", nil},
		{"$SYS/broker/load", []Dialect{NATS}},
		{"all/secret.x", []Dialect{RabbitMQ, NATS}},
		{".", []Dialect{RabbitMQ, NATS}},
		{"all/*/x", []Dialect{RabbitMQ, NATS}},
		{"all/x*", []Dialect{RabbitMQ, NATS}},
		{"chat/messages/bob@example.com/alice", []Dialect{RabbitMQ, NATS}},
		{"all/>", []Dialect{NATS}},
		{"all/a b", []Dialect{NATS}},
		{"all/a\tb", []Dialect{NATS}},
		{"all/a\nb", []Dialect{NATS}},
		{"all/a\x7f", []Dialect{NATS}},
		{"$JS/API/STREAM/DELETE/x", []Dialect{NATS}},
		{"$MQTT/msgs/all/secret/x", []Dialect{NATS}},
		{"$delayed/5/all/secret/x", []Dialect{NATS, EMQX}},
		{"$delayed", []Dialect{NATS, EMQX}},
		{"$queue/all/secret/x", []Dialect{NATS, EMQX}},
		{"$exclusive/all/secret/x", []Dialect{NATS, EMQX}},
		{"$q/all/secret/x", []Dialect{NATS, EMQX}},
		{"$queues/x", []Dialect{NATS}},
		{"all/$queue/x", nil},
		{"all/ü/世界", nil},
	} {
		for _, d := range all {
			want := true
			for _, r := range c.refused {
				want = want && d != r
			}
			if got := d.TakesTopicName([]byte(c.topic)); got != want {
				t.Errorf("%s: TakesTopicName(%q) = %t; want %t", d, c.topic, got, want)
			}
			if got := d.TakesTopicFilter(c.topic); got != want {
				t.Errorf("%s: TakesTopicFilter(%q) = %t; want %t", d, c.topic, got, want)
			}
			if got, want := d.TakesTopicFilter("$share/g/"+c.topic), want && (d == MQTT || d == EMQX); got != want {
				t.Errorf("%s: TakesTopicFilter($share/g/%q) = %t; want %t", d, c.topic, got, want)
			}
		}
	}
	for _, filter := range []string{"#", "+/secret/#", "all/+"} {
		for _, d := range all {
			if !d.TakesTopicFilter(filter) {
				t.Errorf("%s: TakesTopicFilter(%q) = false; want true", d, filter)
			}
		}
	}
}

// What gets through means to RabbitMQ and NATS what it means to MQTT: translated as they do it, it matches the same.
func TestWhatIsTakenMatchesTheSameOnceItIsTranslated(t *testing.T) {
	rabbit := strings.NewReplacer("/", ".", "+", "*")
	nats := func(topic string) string { // rules of NATS' mqttToNATSSubjectConversion, level by level; an empty one is "/"
		levels := strings.Split(topic, "/")
		for i, level := range levels {
			switch level {
			case "":
				levels[i] = "/"
			case "+":
				levels[i] = "*"
			case "#":
				levels[i] = ">"
			default:
				levels[i] = strings.ReplaceAll(level, ".", "//")
			}
		}
		return strings.Join(levels, ".")
	}
	words := func(alphabet string, length int) (all []string) {
		last := []string{""}
		for range length {
			var next []string
			for _, w := range last {
				for _, c := range alphabet {
					next = append(next, w+string(c))
				}
			}
			all, last = append(all, next...), next
		}
		return all
	}
	var topics, filters []string
	for _, w := range words("a/.*> $+#", 4) {
		if frames.CheckTopicName([]byte(w)) == nil {
			topics = append(topics, w)
		}
		if frames.CheckTopicFilter(w) == nil {
			filters = append(filters, w)
		}
	}
	for _, c := range []struct {
		Dialect
		translate     func(string) string
		one, many     string
		compared, hit int
	}{{Dialect: RabbitMQ, translate: rabbit.Replace, one: "*", many: "#"}, {Dialect: NATS, translate: nats, one: "*", many: ">"}} {
		said := map[string]string{}
		for _, topic := range topics {
			if !c.TakesTopicName([]byte(topic)) {
				continue
			}
			if other, taken := said[c.translate(topic)]; taken {
				t.Fatalf("%s: %q and %q are one topic", c.Dialect, topic, other)
			}
			said[c.translate(topic)] = topic
		}
		for _, filter := range filters {
			if !c.TakesTopicFilter(filter) {
				continue
			}
			for routed, topic := range said {
				c.compared++
				if topic[0] == '$' {
					continue // a leading wildcard matches it there; the gateway judges what comes
				}
				got := routes(strings.Split(c.translate(filter), "."), strings.Split(routed, "."), c.one, c.many)
				if want := frames.Match(filter, topic); got != want && !(want && c.Dialect == NATS) { // it has a second subscription for the parent of '#'
					t.Fatalf("%s: %q matches %q = %t; want %t", c.Dialect, filter, topic, got, want)
				} else if want {
					c.hit++
				}
			}
		}
		if c.compared < 1000 || c.hit < 100 {
			t.Errorf("%s: %d comparisons, %d of them matches", c.Dialect, c.compared, c.hit)
		}
	}
}

// routes is how both match: word by word.
func routes(filter, words []string, one, many string) bool {
	for i, f := range filter {
		switch {
		case f == many:
			return many == "#" || len(words) > i
		case i >= len(words) || f != one && f != words[i]:
			return false
		}
	}
	return len(filter) == len(words)
}

func TestNamesOfDialects(t *testing.T) {
	for _, d := range []Dialect{MQTT, RabbitMQ, NATS, EMQX} {
		if got, err := Parse(d.String()); got != d || err != nil {
			t.Errorf("Parse(%q) = %s, %v", d, got, err)
		}
	}
	for _, name := range []string{"", "mosquitto", "MQTT"} {
		if _, err := Parse(name); err == nil {
			t.Errorf("Parse(%q) has no error", name)
		}
	}
}

func TestADialectAllocatesNothing(t *testing.T) {
	topic := []byte("chat/room/" + strings.Repeat("lobby/", 40) + "messages")
	for _, d := range []Dialect{MQTT, RabbitMQ, NATS, EMQX} {
		if n := testing.AllocsPerRun(100, func() {
			if !d.TakesTopicName(topic) {
				t.Fail()
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations; want none", d, n)
		}
	}
}
