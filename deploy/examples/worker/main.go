// Command worker is the worker of the auction, as worker.mjs: it hears all bids, takes the higher ones, and says why it
// does not take others. It is a client of the gateway like any other, with a token of its own by client credentials
// (RFC 6749 section 4.4).
//
//	TOKEN_URL=… CLIENT_ID=… CLIENT_SECRET=… GATEWAY=wss://mqtt.example.com/mqtt go run ./deploy/examples/worker
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w := &worker{
		tokens: clientcredentials.Config{TokenURL: os.Getenv("TOKEN_URL"), ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET")},
		prices: map[string]float64{},
	}
	options := mqtt.NewClientOptions().AddBroker(os.Getenv("GATEWAY")).
		SetClientID("auction-worker").SetCleanSession(false). // one Session: bids wait while the worker is away
		SetConnectRetry(true).SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(10 * time.Second).
		SetCredentialsProvider(func() (string, string) { return "token", w.token(ctx) }). // a fresh one for each connection
		SetDefaultPublishHandler(w.heard).SetOnConnectHandler(w.subscribe)
	client := mqtt.NewClient(options)
	client.Connect()
	<-ctx.Done()
	client.Disconnect(250)
}

// worker judges bids. Its handlers are called one after the other.
type worker struct {
	tokens clientcredentials.Config

	prices  map[string]float64 // by auction
	ready   bool               // those from before a restart are known
	waiting []mqtt.Message     // bids, until then
}

// token fetches one; "" if there is none: the gateway refuses that, and it is tried again.
func (w *worker) token(ctx context.Context) string {
	token, err := w.tokens.Token(ctx)
	if err != nil {
		log.Print(err)
		return ""
	}
	return token.AccessToken
}

// mark is published after the subscription to prices. Those are retained, so they come before it.
const mark = "auction/worker/price"

func (w *worker) subscribe(client mqtt.Client) {
	client.Subscribe("$topicgate/expiring", 0, nil)
	client.Subscribe("auction/+/price", 1, nil)
	client.Subscribe("auction/+/bid/+", 1, nil)
	client.Publish(mark, 1, false, "all prices have come")
}

// heard is called for each message.
func (w *worker) heard(client mqtt.Client, m mqtt.Message) {
	levels := strings.Split(m.Topic(), "/") // of the gateway's making: it lets nobody write another's name there
	switch {
	case m.Topic() == "$topicgate/expiring":
		go client.Publish("$topicgate/token", 1, false, w.token(context.Background()))
	case m.Topic() == mark:
		w.begin(client)
	case levels[2] == "price":
		var p price
		if json.Unmarshal(m.Payload(), &p) == nil {
			w.prices[levels[1]] = p.Amount
		}
	case !w.ready:
		w.waiting = append(w.waiting, m)
	default:
		w.judge(client, levels[1], levels[3], m.Payload())
	}
}

func (w *worker) begin(client mqtt.Client) {
	w.ready = true
	for _, m := range w.waiting {
		w.heard(client, m)
	}
	w.waiting = nil
	fmt.Println("ready")
}

// bid is a message of a bidder's, and price what comes of it.
type bid struct {
	Amount *float64 `json:"amount"`
}

type price struct {
	Amount float64 `json:"amount"`
	By     string  `json:"by"`
}

type rejection struct {
	Amount *float64 `json:"amount"`
	Reason string   `json:"reason"`
}

// judge takes a bid, or says why not.
func (w *worker) judge(client mqtt.Client, auction, user string, payload []byte) {
	var b bid
	reason := ""
	switch err := json.Unmarshal(payload, &b); {
	case err != nil || b.Amount == nil:
		reason = "a bid is a number"
	case *b.Amount <= w.prices[auction]:
		reason = fmt.Sprintf("the price is %v already", w.prices[auction])
	}
	if reason != "" {
		send(client, "auction/"+auction+"/rejected/"+user, false, rejection{b.Amount, reason})
		return
	}
	w.prices[auction] = *b.Amount
	send(client, "auction/"+auction+"/price", true, price{*b.Amount, user})
}

func send(client mqtt.Client, topic string, retain bool, message any) {
	text, err := json.Marshal(message)
	if err != nil {
		log.Print(err)
		return
	}
	client.Publish(topic, 1, retain, text) // paho keeps it until it is acknowledged
}
