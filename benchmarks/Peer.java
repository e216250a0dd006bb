/*
 * How soon a blocked Java thread is interrupted, against the normal end of the same wait: what
 * latency.py measures of Python, in the same way.
 *
 *     java benchmarks/Peer.java COUNT
 *
 * Prints a line for each wait: its name, then the nanoseconds of each interruption, a bar, and those
 * of each normal end.
 */

import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.Pipe;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

public class Peer {
    static final int IN_A_ROW = 10;
    static final int WARM_UP = 20; // turns; until then much is interpreted

    interface Wait {
        void run() throws Exception;
    }

    /** A wait, made afresh for each time: what blocks, and what ends it normally. */
    record Way(Wait blocks, Wait ends) {
    }

    interface Maker {
        Way make() throws Exception;
    }

    static Way lock() {
        ReentrantLock lock = new ReentrantLock();
        lock.lock(); // by the requester, who also unlocks it
        return new Way(() -> {
            lock.lockInterruptibly();
            lock.unlock();
        }, lock::unlock);
    }

    static Way latch() {
        CountDownLatch latch = new CountDownLatch(1);
        return new Way(latch::await, latch::countDown);
    }

    static Way semaphore() {
        Semaphore semaphore = new Semaphore(0);
        return new Way(semaphore::acquire, semaphore::release);
    }

    static Way queue() {
        LinkedBlockingQueue<Integer> queue = new LinkedBlockingQueue<>();
        return new Way(queue::take, () -> queue.put(1));
    }

    static Way join() {
        CountDownLatch latch = new CountDownLatch(1);
        Thread thread = new Thread(() -> {
            try {
                latch.await();
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return new Way(thread::join, latch::countDown);
    }

    static Way read() throws Exception {
        Pipe pipe = Pipe.open();
        return new Way(() -> pipe.source().read(ByteBuffer.allocate(1)),
            () -> pipe.sink().write(ByteBuffer.wrap(new byte[1])));
    }

    static class Target extends Thread {
        final SynchronousQueue<Wait> todo = new SynchronousQueue<>();
        final LinkedBlockingQueue<Long> done = new LinkedBlockingQueue<>();
        final Semaphore running = new Semaphore(0);

        @Override
        public void run() {
            try {
                while (true) {
                    Wait wait = todo.take();
                    running.release();
                    try {
                        wait.run();
                    } catch (InterruptedException | ClosedByInterruptException error) {
                        // as asked
                    }
                    long seen = System.nanoTime();
                    Thread.interrupted();
                    done.put(seen);
                }
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        long time(Maker maker, boolean ask) throws Exception {
            Way way = maker.make();
            todo.put(way.blocks());
            running.acquire();
            LockSupport.parkNanos(ThreadLocalRandom.current().nextLong(500_000, 1_500_000));
            long begun = System.nanoTime();
            if (ask) {
                interrupt();
            } else {
                way.ends().run();
            }
            return done.take() - begun;
        }
    }

    public static void main(String[] arguments) throws Exception {
        int count = Integer.parseInt(arguments[0]);
        Map<String, Maker> ways = new LinkedHashMap<>();
        ways.put("ReentrantLock.lockInterruptibly", Peer::lock);
        ways.put("CountDownLatch.await", Peer::latch);
        ways.put("Semaphore.acquire", Peer::semaphore);
        ways.put("LinkedBlockingQueue.take", Peer::queue);
        ways.put("Thread.join", Peer::join);
        ways.put("Thread.sleep", () -> new Way(() -> Thread.sleep(100_000), () -> { }));
        ways.put("Pipe.SourceChannel.read", Peer::read);
        Target target = new Target();
        target.setDaemon(true);
        target.start();
        Map<String, List<List<Long>>> times = new LinkedHashMap<>();
        ways.keySet().forEach(name -> times.put(name, List.of(new ArrayList<>(), new ArrayList<>())));
        int turns = count / IN_A_ROW;
        for (int turn = -Math.min(WARM_UP, turns); turn < turns; turn++) {
            for (Map.Entry<String, Maker> each : ways.entrySet()) {
                // A sleep has no other end: compared with the hand-off of a lock.
                Maker normal = each.getKey().equals("Thread.sleep") ? Peer::lock : each.getValue();
                for (int way = 0; way < 2; way++) {
                    for (int i = 0; i < IN_A_ROW; i++) {
                        long time = target.time(way == 0 ? each.getValue() : normal, way == 0);
                        if (turn >= 0) {
                            times.get(each.getKey()).get(way).add(time);
                        }
                    }
                }
            }
        }
        for (Map.Entry<String, List<List<Long>>> each : times.entrySet()) {
            System.out.print(each.getKey());
            for (int way = 0; way < 2; way++) {
                each.getValue().get(way).forEach(time -> System.out.print(" " + time));
                System.out.print(way == 0 ? " |" : "\n");
            }
        }
    }
}
