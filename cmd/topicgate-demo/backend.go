package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	prefix        = "topicgate:" // of the Redis keys
	refusedShown  = 12           // latest audit records on the page
	redisTimeout  = 3 * time.Second
	contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " + // MQTT.js keeps its timers in a worker
		"connect-src 'self' "
)

//go:embed chat.acl
var policyText string

//go:embed web/index.html web/app.js web/chat.js web/dom.js web/oidc.js web/panel.js web/style.css web/login.html
var webFiles embed.FS

// members are the rooms at start and who is in them.
var members = map[string][]string{
	"lobby":  {"alice", "bob"},
	"garden": {"alice"},
	"studio": {"bob"},
	"vault":  {},
}

// backend is the chat's application back end: it serves the page and decides who is in which room,
// by SADD and SREM alone. The gateway does not know it.
type backend struct {
	origin   string // of the page
	issuer   string
	clientID string
	gateway  string // WebSocket URL
	mqttJS   string // path of MQTT.js
	accounts []account
	redis    *redis.Client
	trouble  map[string]func() // ends something at once, by name; it comes back by itself
}

// seed writes the policy and the rooms' first members.
func (b *backend) seed(ctx context.Context) error {
	_, err := b.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, prefix+"acl", policyText, 0)
		for room, users := range members {
			for _, user := range users {
				pipe.SAdd(ctx, roomsKey(user), room)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load the policy: %w", err)
	}
	return nil
}

func roomsKey(user string) string { return prefix + "user:" + user + ":rooms" }

// handler serves the page and its back end, under their own Host only: a name that somebody lets
// point to the loopback interface gets nothing but the way to the right one.
func (b *backend) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", b.file("web/index.html"))
	for _, name := range []string{"app.js", "chat.js", "dom.js", "oidc.js", "panel.js", "style.css"} {
		mux.HandleFunc("GET /"+name, b.file("web/"+name))
	}
	mux.HandleFunc("GET /mqtt.min.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, b.mqttJS) })
	mux.HandleFunc("GET /config.json", b.config)
	mux.HandleFunc("GET /backend/state", b.state)
	mux.HandleFunc("POST /backend/member", b.change)
	mux.HandleFunc("POST /backend/blocked", b.change)
	mux.HandleFunc("POST /backend/trouble", b.makeTrouble)
	return onlyHost(b.origin, http.NewCrossOriginProtection().Handler(mux))
}

// onlyHost refuses requests for other hosts than the one of origin, and sends readers there.
func onlyHost(origin string, next http.Handler) http.Handler {
	host := strings.TrimPrefix(origin, "http://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == host:
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet && r.URL.Path == "/":
			http.Redirect(w, r, origin+"/", http.StatusTemporaryRedirect)
		default:
			http.Error(w, "The demo is at "+origin+"/", http.StatusMisdirectedRequest)
		}
	})
}

// serveFile answers with one of the embedded files.
func serveFile(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, webFiles, name)
	}
}

// file is serveFile with what the page may do and whom it may reach.
func (b *backend) file(name string) http.HandlerFunc {
	serve := serveFile(name)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", contentPolicy+b.issuer+" "+webSocketOrigin(b.gateway))
		w.Header().Set("Referrer-Policy", "no-referrer")
		serve(w, r)
	}
}

// webSocketOrigin is url without its path.
func webSocketOrigin(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// config tells the page where everything is.
func (b *backend) config(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":       b.issuer,
		"client_id":    b.clientID,
		"redirect_uri": b.origin + "/",
		"gateway":      b.gateway,
		"redis_cli":    "redis-cli -p " + port(b.redis.Options().Addr),
		"users":        b.userNames(),
	})
}

func (b *backend) userNames() []string {
	names := make([]string, len(b.accounts))
	for i, a := range b.accounts {
		names[i] = a.Name
	}
	return names
}

// room is one row of the back end's panel.
type room struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
}

// state tells who is in which room now, who is blocked and what the gateway refused lately. It is read
// from Redis each time, so that changes by redis-cli show as well.
func (b *backend) state(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), redisTimeout)
	defer cancel()
	pipe := b.redis.Pipeline()
	rooms := make(map[string]*redis.StringSliceCmd)
	for _, user := range b.userNames() {
		rooms[user] = pipe.SMembers(ctx, roomsKey(user))
	}
	blocked := pipe.SMembers(ctx, prefix+"blocked")
	audit := pipe.XRevRangeN(ctx, prefix+"audit", "+", "-", refusedShown)
	if _, err := pipe.Exec(ctx); err != nil {
		http.Error(w, "Redis does not answer.", http.StatusBadGateway)
		return
	}
	byRoom := make(map[string][]string)
	for name := range members {
		byRoom[name] = []string{}
	}
	for _, user := range b.userNames() {
		for _, name := range rooms[user].Val() {
			byRoom[name] = append(byRoom[name], user)
		}
	}
	list := make([]room, 0, len(byRoom))
	for _, name := range slices.Sorted(maps.Keys(byRoom)) {
		list = append(list, room{name, byRoom[name]})
	}
	refused := make([]map[string]any, 0, refusedShown)
	for _, record := range audit.Val() {
		if record.Values["decision"] == "refused" {
			record.Values["id"] = record.ID
			refused = append(refused, record.Values)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"rooms": list, "blocked": blocked.Val(), "refused": refused})
}

// change adds a user to a set in Redis or removes them from it, and answers with the command that did it.
func (b *backend) change(w http.ResponseWriter, r *http.Request) {
	// CrossOriginProtection has refused other origins; a type that no plain form can send does so for
	// browsers that tell neither Origin nor Sec-Fetch-Site.
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "Content-Type must be application/json.", http.StatusUnsupportedMediaType)
		return
	}
	var wanted struct {
		User string `json:"user"`
		Room string `json:"room"`
		On   bool   `json:"on"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFormBytes)).Decode(&wanted); err != nil {
		http.Error(w, "The body must be JSON with user, room and on.", http.StatusBadRequest)
		return
	}
	if !slices.Contains(b.userNames(), wanted.User) {
		http.Error(w, "No such user.", http.StatusBadRequest)
		return
	}
	key, value := prefix+"blocked", wanted.User
	if r.URL.Path == "/backend/member" {
		if !validRoom(wanted.Room) {
			http.Error(w, "A room's name has 1 to 32 letters, digits, _ and -.", http.StatusBadRequest)
			return
		}
		key, value = roomsKey(wanted.User), wanted.Room
	}
	command := "SREM"
	if wanted.On {
		command = "SADD"
	}
	ctx, cancel := context.WithTimeout(r.Context(), redisTimeout)
	defer cancel()
	if err := b.redis.Do(ctx, command, key, value).Err(); err != nil {
		http.Error(w, "Redis does not answer.", http.StatusBadGateway)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"command": command + " " + key + " " + value})
}

// makeTrouble ends one of the demo's servers at once, for visitors to see what that does.
func (b *backend) makeTrouble(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" { // see change
		http.Error(w, "Content-Type must be application/json.", http.StatusUnsupportedMediaType)
		return
	}
	var wanted struct {
		What string `json:"what"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFormBytes)).Decode(&wanted); err != nil {
		http.Error(w, "The body must be JSON with what.", http.StatusBadRequest)
		return
	}
	start := b.trouble[wanted.What]
	if start == nil {
		http.Error(w, "No such trouble.", http.StatusBadRequest)
		return
	}
	start()
	writeJSON(w, http.StatusOK, map[string]string{"command": "# " + wanted.What + " killed; it is started again in two seconds"})
}

// validRoom reports whether name can be pasted into a shell as it is.
func validRoom(name string) bool {
	return len(name) > 0 && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}
