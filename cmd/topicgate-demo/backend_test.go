package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// post sends JSON to the back end as a browser would from origin; an empty origin is no browser.
func post(t *testing.T, url, origin, contentType, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// testBackEnd uses the back end of a running demo.
func testBackEnd(t *testing.T, page string) {
	origin := strings.TrimSuffix(page, "/")
	const asJSON = "application/json"
	for _, test := range []struct {
		name, path, origin, contentType, body string
		status                                int
		answer                                string
	}{
		{"enter", "member", origin, asJSON, `{"user":"bob","room":"garden","on":true}`, 200, "SADD topicgate:user:bob:rooms garden"},
		{"leave", "member", origin, asJSON, `{"user":"bob","room":"studio","on":false}`, 200, "SREM topicgate:user:bob:rooms studio"},
		{"block", "blocked", origin, asJSON, `{"user":"bob","on":true}`, 200, "SADD topicgate:blocked bob"},
		{"another site", "member", "http://evil.example", asJSON, `{"user":"bob","room":"vault","on":true}`, 403, ""},
		{"a sandboxed frame", "member", "null", asJSON, `{"user":"bob","room":"vault","on":true}`, 403, ""},
		{"a plain form", "member", "", "text/plain", `{"user":"bob","room":"vault","on":true}`, 415, ""},
		{"an unknown user", "member", origin, asJSON, `{"user":"mallory","room":"vault","on":true}`, 400, ""},
		{"a wildcard for a room", "member", origin, asJSON, `{"user":"bob","room":"#","on":true}`, 400, ""},
		{"no room", "member", origin, asJSON, `{"user":"bob","on":true}`, 400, ""},
		{"no JSON", "member", origin, asJSON, `user=bob`, 400, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, answer := post(t, page+"backend/"+test.path, test.origin, test.contentType, test.body)
			if status != test.status || !strings.Contains(answer, test.answer) {
				t.Errorf("POST = %d %q; want %d %q", status, answer, test.status, test.answer)
			}
		})
	}
	var state struct {
		Rooms   []room
		Blocked []string
		Refused []json.RawMessage
	}
	getJSON(t, page+"backend/state", &state)
	want := map[string][]string{"garden": {"alice", "bob"}, "lobby": {"alice", "bob"}, "studio": {}, "vault": {}}
	for _, room := range state.Rooms {
		if !slices.Equal(room.Members, want[room.Name]) {
			t.Errorf("members of %s = %v; want %v", room.Name, room.Members, want[room.Name])
		}
	}
	if len(state.Rooms) != len(want) || !slices.Equal(state.Blocked, []string{"bob"}) || state.Refused == nil {
		t.Errorf("state = %+v; want %d rooms, bob blocked, nothing refused", state, len(want))
	}
}

func TestOnlyTheOwnHostIsServed(t *testing.T) {
	handler := onlyHost("http://127.0.0.1:8000", http.NotFoundHandler())
	for _, test := range []struct {
		method, target string
		status         int
	}{
		{"GET", "http://127.0.0.1:8000/", http.StatusNotFound},
		{"GET", "http://localhost:8000/", http.StatusTemporaryRedirect}, // what people type
		{"GET", "http://rebound.example/backend/state", http.StatusMisdirectedRequest},
		{"POST", "http://rebound.example/", http.StatusMisdirectedRequest},
	} {
		if got := serve(handler, test.method, test.target).Code; got != test.status {
			t.Errorf("%s %s = %d; want %d", test.method, test.target, got, test.status)
		}
	}
}

func serve(handler http.Handler, method, target string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, target, nil))
	return recorder
}
