package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver is a back end that takes audit records.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int // of the next answers; then 204
	topics   []string
	requests int
	largest  int
	wrong    []string // what is not as promised
}

const hookSecret = "0123456789abcdef"

func startReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.largest = max(r.largest, len(body))
	signature := request.Header.Get(SignatureHeader)
	seconds, _, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",")
	number, parseErr := strconv.ParseInt(seconds, 10, 64)
	at := time.Unix(number, 0)
	if parseErr != nil || time.Since(at).Abs() > time.Hour || signature != sign([]byte(hookSecret), at, body) {
		r.wrong = append(r.wrong, "signature "+signature)
	}
	if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/x-ndjson" {
		r.wrong = append(r.wrong, request.Method+" "+request.Header.Get("Content-Type"))
	}
	if len(r.statuses) > 0 {
		status := r.statuses[0]
		r.statuses = r.statuses[1:]
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		if status > 299 {
			return
		}
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	for line := range bytes.Lines(body) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			r.wrong = append(r.wrong, err.Error())
		}
		r.topics = append(r.topics, e.Topic)
	}
}

func (r *receiver) want(t *testing.T, requests int, topics ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.requests != requests || !slices.Equal(r.topics, topics) || len(r.wrong) > 0 {
		t.Errorf("%d requests brought %q, wrong: %q; want %d with %q", r.requests, r.topics, r.wrong, requests, topics)
	}
}

func TestABatchIsOneSignedRequest(t *testing.T) {
	r := startReceiver(t)
	s := NewWebhookSink(r.URL, hookSecret)
	defer s.Close()
	written(t, s, "a", "b\n", "c")
	r.want(t, 1, "a", "b\n", "c")
}

// What a receiver that is written in another language has to find; computed with openssl dgst -sha256 -hmac.
func TestTheSignatureIsThatOfTheDocuments(t *testing.T) {
	got := sign([]byte("0123456789abcdef"), time.Unix(1795212245, 0), []byte("{\"type\":\"audit\"}\n"))
	if want := "t=1795212245,v1=4af1a258d1191bfc5c999b5a0ea54ed718cecb8416f0935aaef11fdb8d0a5145"; got != want {
		t.Errorf("sign() = %s; want %s", got, want)
	}
}

func TestStatusesOfAWebhook(t *testing.T) {
	for status, want := range map[int]string{
		200: "taken", 202: "taken", 204: "taken",
		408: "again", 425: "again", 429: "again", 500: "again", 502: "again", 503: "again",
		301: "refused", 302: "refused", 307: "refused", 308: "refused",
		400: "refused", 401: "refused", 404: "refused", 410: "refused", 413: "refused", 422: "refused",
	} {
		r := startReceiver(t, status)
		s := NewWebhookSink(r.URL, hookSecret)
		err := s.Write(t.Context(), []Event{topic("a"), topic("b")})
		partial, _ := errors.AsType[*WriteError](err)
		refused, isRefused := errors.AsType[*RefusedError](err)
		got := "again"
		switch {
		case err == nil:
			got = "taken"
		case isRefused && refused.Events == 2:
			got = "refused"
		}
		if got != want || err != nil && partial.Written != 0 {
			t.Errorf("status %d: Write() = %v; want the events %s", status, err, want)
		}
		if want == "taken" {
			r.want(t, 1, "a", "b")
		} else {
			r.want(t, 1) // a redirect was not followed
		}
		s.Close()
	}
}

func TestWebhookRequestsAreBounded(t *testing.T) {
	r := startReceiver(t, 200, 503)
	s := NewWebhookSink(r.URL, hookSecret)
	defer s.Close()
	events := make([]Event, maxBatch)
	for i := range events {
		long := strings.Repeat("\x01", maxText)
		events[i] = Event{Topic: long, ClientID: long, Rule: long}
	}
	err := s.Write(t.Context(), events)
	partial, ok := errors.AsType[*WriteError](err)
	if !ok || partial.Written == 0 || partial.Written == len(events) {
		t.Fatalf("Write() = %v; want the first request's events written", err)
	}
	if err := s.Write(t.Context(), events[partial.Written:]); err != nil {
		t.Errorf("Write() of the others = %v", err)
	}
	if len(r.topics) != maxBatch || r.largest > webhookBody+100<<10 {
		t.Errorf("%d events came, the largest request had %d bytes; want %d, and little more than %d", len(r.topics), r.largest, maxBatch, webhookBody)
	}
}

func TestErrorsOfAWebhookHoldNoURL(t *testing.T) {
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		<-request.Context().Done()
	}))
	defer hung.Close()
	for _, url := range []string{"http://127.0.0.1:1/hunter2", hung.URL + "/hunter2", "http://[hunter2"} {
		s := NewWebhookSink(url, hookSecret).(*webhookSink)
		s.client.Timeout = 100 * time.Millisecond // the hung one ends by it
		err := s.Write(t.Context(), []Event{topic("a")})
		if _, refused := errors.AsType[*RefusedError](err); err == nil || refused || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Write() = %v; want an error to try again after, without the URL", err)
		}
		s.Close()
	}
}
