package session

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/metrics"
)

func TestEveryEndHasItsRow(t *testing.T) {
	words := map[string]bool{}
	for r := endNone; r < endReasons; r++ {
		row := endTable[r]
		if row.word == "" || words[row.word] {
			t.Errorf("end %d: word %q is empty or taken", r, row.word)
		}
		words[row.word] = true
		// What may stand in a Close frame: RFC 6455 section 7.4.
		if row.status < 1000 || row.status == 1005 || row.status == 1006 || row.status == 1015 || len(websocket.FormatCloseMessage(row.status, "")) != 2 {
			t.Errorf("%s: close status %d", row.word, row.status)
		}
		if row.code != 0 && !row.code.Legal(frames.TypeDisconnect, frames.V5) {
			t.Errorf("%s: reason code %s may not stand in DISCONNECT", row.word, row.code)
		}
		if r != endNone {
			var end EndReason
			if err := ended(r, errors.New("why")); !errors.As(err, &end) || end != r || !strings.Contains(err.Error(), row.word) {
				t.Errorf("ended(%v) = %v, whose reason is %v", r, err, end)
			}
		}
	}
	if n := len(EndReasons()); n != int(endReasons)-1 {
		t.Errorf("EndReasons() has %d words; want %d", n, endReasons-1)
	}
}

func TestBrokenPacketsTellTheirReasonCode(t *testing.T) {
	for code, want := range map[frames.ReasonCode]EndReason{
		frames.MalformedPacket:   EndMalformedPacket,
		frames.PacketTooLarge:    EndPacketTooLarge,
		frames.ProtocolError:     EndProtocolError,
		frames.TopicAliasInvalid: EndProtocolError,
		frames.TopicNameInvalid:  EndProtocolError,
	} {
		err := brokenPacket(fmt.Errorf("wrapped: %w", &frames.Error{Code: code}))
		var detail *endError
		if !errors.As(err, &detail) || detail.reason != want || detail.code != code {
			t.Errorf("brokenPacket(%s) = %v; want %v", code, err, want)
		}
	}
}

func TestTheTokensEndIsTheSessionsEnd(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		begin := time.Now()
		c := newRig(t, nil).Connect(v, "alice@1h").Patient()
		if v == frames.V5 {
			c.Hears("e0 01 87")
		}
		c.Closes(4401)
		if d := time.Since(begin); d != time.Hour {
			t.Errorf("ended after %v; want 1h", d)
		}
		c.BrokerEnds() // without a DISCONNECT: the Will fires
	})
}

func TestAnExpiredTokenEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRig(t, nil).Connect(frames.V5, "alice@0s")
		c.Hears("e0 01 87")
		c.Closes(4401)
	})
}

func TestAStalledBrokerDoesNotSilenceTheGatewaysLastWords(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.Connect(v, "alice").Patient()
		synctest.Wait()
		c.Say(play.PublishHex(v, "chat/status/alice", 0, 0, "nobody reads this"))
		synctest.Wait()
		go r.server.Close()
		if v == frames.V5 {
			c.Hears("e0 01 8b")
		}
		c.Closes(1012)
	})
}

func TestABrokerThatDoesNotReadEndsTheSession(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		c := newRig(t, nil).Connect(v, "alice").Patient()
		synctest.Wait()
		begin := time.Now()
		c.Say(play.PublishHex(v, "chat/status/alice", 0, 0, "nobody reads this"))
		if v == frames.V5 {
			c.Hears("e0 01 8b")
		}
		c.Closes(1013)
		if d := time.Since(begin); d < 26*time.Second || d > 30*time.Second+herdStep { // the deadline is moved now and then
			t.Errorf("ended after %v; want the write timeout", d)
		}
	})
}

func TestEachEndHasItsCounter(t *testing.T) {
	m := newMetrics()
	for _, reason := range EndReasons() {
		m.EndedEarly(reason)
		if n := counted(m, `topicgate_sessions_ended_total{reason="`+reason+`"}`); n != 1 {
			t.Errorf("%v sessions ended for %q; want 1", n, reason)
		}
	}
}

// counted is what a series says to who asks for /metrics; -1: there is none.
func counted(m *metrics.Metrics, series string) float64 {
	w := httptest.NewRecorder()
	metrics.AdminHandler(m, nil, nil, nil).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}

func TestEveryEndReasonHasARow(t *testing.T) {
	seen := map[string]bool{}
	for reason := EndReason(0); reason < endReasons; reason++ {
		row := endTable[reason]
		if row.word == "" || row.status == 0 || seen[row.word] {
			t.Errorf("EndReason %d has the row %+v; want a word of its own and a close status", reason, row)
		}
		seen[row.word] = true
	}
}
