package audit

import (
	"context"
	"io"
	"slices"
	"testing"
)

func BenchmarkRecord(b *testing.B) {
	run := func(b *testing.B) *Log {
		l := New(Options{Instance: "gw1", Sinks: map[string]Sink{"discard": NewWriterSink(io.Discard)}})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = l.Run(ctx)
		}()
		b.Cleanup(func() { cancel(); <-done })
		return l
	}
	b.Run("folded", func(b *testing.B) {
		l, e := run(b), exampleEvent()
		b.ReportAllocs()
		for b.Loop() {
			l.Record(e)
		}
	})
	b.Run("folded, parallel", func(b *testing.B) {
		l := run(b)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			e := exampleEvent()
			for pb.Next() {
				l.Record(e)
			}
		})
	})
	b.Run("all different", func(b *testing.B) {
		l, e := run(b), exampleEvent()
		b.ReportAllocs()
		for b.Loop() {
			e.Bytes++
			l.Record(e)
		}
	})
	b.Run("full", func(b *testing.B) {
		l, e := New(Options{Sinks: map[string]Sink{"none": new(fakeSink)}, QueueSize: 1}), exampleEvent()
		b.ReportAllocs()
		for b.Loop() {
			e.Bytes++
			l.Record(e)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	sink := NewWriterSink(io.Discard)
	batch := slices.Repeat([]Event{exampleEvent()}, maxBatch)
	b.ReportAllocs()
	for b.Loop() {
		_ = sink.Write(context.Background(), batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/event")
}
