package integration

import (
	"fmt"
	"testing"
	"time"

	"topicgate/frames"
)

// A client on a link of 20 kB a second, and 1,000 updates a second of 50 prices: the last of each comes with what that link
// bears in two seconds, and all of them come, and so does every bid.
func TestTheLatestPriceReachesASlowBrowser(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read auctions/#\nlatest auctions/+/price\n")
	w := s.connect(t, frames.V5, "phone", s.issuer.token(t, "alice"))
	w.subscribed("auctions/#")
	hand := s.broker.direct(t, frames.V311, "hand")
	const topics, updates = 50, 3000
	type heard struct {
		topic, payload string
		size           int
	}
	messages := make(chan heard, updates+topics)
	stop := make(chan struct{})
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for slot := 0; ; {
			p, err := w.next()
			if err != nil {
				return
			}
			publish, err := frames.ParsePublish(p, frames.V5)
			if err != nil {
				continue
			}
			messages <- heard{string(publish.TopicName), string(publish.Payload), len(p.Raw)}
			if slot += len(p.Raw); slot < 2000 {
				continue
			}
			slot = 0
			select {
			case <-time.After(100 * time.Millisecond): // the link
			case <-stop:
			}
		}
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := range updates {
		if n%topics == 0 {
			<-tick.C
		}
		m := message(fmt.Sprintf("auctions/%d/price", n%topics), fmt.Sprintf("%d %040d", n/topics, 0), 0)
		hand.publish(m)
	}
	hand.publish(message("auctions/1/bid", "the last of all", 0))
	hand.ping() // the broker has them all
	early := len(messages)
	left, read := topics, 0
	last := fmt.Sprintf("%d %040d", updates/topics-1, 0)
	for bid := false; left > 0 || !bid; {
		select {
		case m := <-messages:
			if early--; early < 0 {
				read += m.size
			}
			if m.payload == last {
				left--
			}
			bid = bid || m.payload == "the last of all"
		case <-time.After(patience):
			t.Fatalf("%d last prices have not come, the bid: %t", left, bid)
		}
	}
	t.Logf("%d bytes were read until the last prices were there", read)
	if read > 40_000 {
		t.Errorf("%d bytes were read before the last prices were there; want 40,000 at most", read)
	}
	if n := s.metric(t, "topicgate_conflated_total"); n == 0 {
		t.Error("nothing was conflated")
	}
	close(stop)
	_ = w.conn.Close()
	<-reading
}
