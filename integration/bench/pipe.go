//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/gorilla/websocket"
)

// runPipe is G, the yardstick: a WebSocket to TCP pipe as anybody would write it who knows to reuse buffers. One goroutine a direction,
// one write for each read, nothing looked at.
func runPipe(ctx context.Context, listen, upstream string) error {
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}, CheckOrigin: func(*http.Request) bool { return true }}
	server := &http.Server{Addr: listen, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // answered
		}
		defer ws.Close()
		broker, err := net.Dial("tcp", upstream)
		if err != nil {
			return
		}
		defer broker.Close()
		go func() {
			_ = pipeDown(ws, broker)
			_ = ws.Close()
		}()
		_ = pipeUp(broker, ws)
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func pipeUp(broker net.Conn, ws *websocket.Conn) error {
	buffer := make([]byte, 32<<10)
	for {
		_, message, err := ws.NextReader()
		if err != nil {
			return err
		}
		for {
			n, err := message.Read(buffer)
			if n > 0 {
				if _, err := broker.Write(buffer[:n]); err != nil {
					return err
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
	}
}

func pipeDown(ws *websocket.Conn, broker net.Conn) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := broker.Read(buffer)
		if n > 0 {
			if err := ws.WriteMessage(websocket.BinaryMessage, buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
