package wire

import (
	"net"
	"runtime"
	"testing"
)

// newParked is a lot with two sockets in it, by name; who goes on is told to resumed.
func newParked(t *testing.T) (lot *Lot[string], sockets [2]*Socket, peers [2]*net.TCPConn, resumed chan string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("sockets are parked on Linux alone")
	}
	resumed = make(chan string, 4)
	lot = NewLot(func(who string) { resumed <- who })
	t.Cleanup(lot.Close)
	for i, who := range []string{"first", "second"} {
		sockets[i], peers[i] = socketPair(t)
		if !lot.Put(sockets[i], who) || !sockets[i].Parked() {
			t.Fatalf("%s is not parked", who)
		}
	}
	return lot, sockets, peers, resumed
}

func TestALotResumesWhoHasSomethingToRead(t *testing.T) {
	lot, sockets, peers, resumed := newParked(t)
	if _, err := peers[1].Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if who := <-resumed; who != "second" || sockets[1].Parked() || !sockets[0].Parked() {
		t.Errorf("%s goes on; want second alone", who)
	}
	if _, err := sockets[1].Read(make([]byte, 1)); err != nil {
		t.Errorf("Read() = %v", err)
	}
	if !lot.Put(sockets[1], "again") {
		t.Fatal("who has gone on can't be parked again")
	}
	_ = peers[1].Close()
	if who := <-resumed; who != "again" {
		t.Errorf("%s goes on at the end of the stream; want again", who)
	}
	lot.Wake(sockets[0])
	<-resumed
}

func TestALotResumesOnceWhoIsWoken(t *testing.T) {
	lot, sockets, peers, resumed := newParked(t)
	lot.Wake(sockets[0])
	lot.Wake(sockets[0])
	if who := <-resumed; who != "first" || sockets[0].Parked() {
		t.Errorf("%s goes on; want first", who)
	}
	if _, err := peers[0].Write([]byte("x")); err != nil { // it reads that itself
		t.Fatal(err)
	}
	lot.Wake(sockets[1])
	if who := <-resumed; who != "second" || len(resumed) > 0 {
		t.Errorf("%s goes on; want second, and nobody twice", who)
	}
}

func TestAClosedLotParksNobody(t *testing.T) {
	var empty = NewLot(func(string) {})
	empty.Close()
	s, _ := socketPair(t)
	if empty.Put(s, "late") || s.Parked() {
		t.Error("parked in a lot that is closed")
	}
}
