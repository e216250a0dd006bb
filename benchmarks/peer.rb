# How soon a Ruby thread is interrupted by Thread#raise, against the normal end of the same wait:
# what latency.py measures of Python, in the same way.
#
#     ruby benchmarks/peer.rb COUNT
#
# Prints a line for each wait: its name, then the nanoseconds of each interruption, a bar, and those
# of each normal end.

require 'socket'

IN_A_ROW = 10
WARM_UP = 1 # turns

class Asked < StandardError; end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
end

# A wait, made afresh for each time: what blocks, and what ends it normally. The requester makes it,
# and holds the lock that is waited for.
def lock
  mutex = Mutex.new
  mutex.lock
  [-> { mutex.synchronize {} }, -> { mutex.unlock }]
end

def condition
  mutex = Mutex.new
  variable = ConditionVariable.new
  [-> { mutex.synchronize { variable.wait(mutex) } }, -> { mutex.synchronize { variable.signal } }]
end

def queue
  items = Queue.new
  [-> { items.pop }, -> { items.push(1) }]
end

def join
  gate = Queue.new
  thread = Thread.new { gate.pop }
  [-> { thread.join }, -> { gate.push(1) }]
end

def read
  from, to = IO.pipe
  [-> { from.readpartial(1) }, -> { to.write('.') }]
end

def receive
  one, other = UNIXSocket.pair
  [-> { one.recv(1) }, -> { other.send('.', 0) }]
end

def accept
  server = TCPServer.new('127.0.0.1', 0)
  port = server.addr[1]
  [-> { server.accept.close }, -> { TCPSocket.new('127.0.0.1', port).close }]
end

# Nanoseconds until a thread is out of one wait, asked to or because that has ended.
def time(way, ask)
  blocks, ends = way
  running = Queue.new
  seen = nil
  thread = Thread.new do
    running.push(1)
    blocks.call
    seen = now
  rescue Asked
    seen = now
  end
  running.pop
  sleep(rand(0.0005..0.0015))
  begun = now
  ask ? thread.raise(Asked) : ends.call
  thread.join
  seen - begun
end

WAYS = {
  'Mutex#lock' => [-> { lock }, -> { lock }],
  'ConditionVariable#wait' => [-> { condition }, -> { condition }],
  'Queue#pop' => [-> { queue }, -> { queue }],
  'Thread#join' => [-> { join }, -> { join }],
  'sleep' => [-> { [-> { sleep(100) }, nil] }, -> { lock }], # it has no other end
  'IO#readpartial' => [-> { read }, -> { read }],
  'Socket#recv' => [-> { receive }, -> { receive }],
  'TCPServer#accept' => [-> { accept }, -> { accept }],
  'loop' => [-> { [-> { loop {} }, nil] }, -> { lock }]
}.freeze

times = WAYS.transform_values { [[], []] }
(-WARM_UP...Integer(ARGV[0]) / IN_A_ROW).each do |turn|
  WAYS.each do |name, (asked, ended)|
    found = [Array.new(IN_A_ROW) { time(asked.call, true) },
             Array.new(IN_A_ROW) { time(ended.call, false) }]
    2.times { |way| times[name][way].concat(found[way]) } if turn >= 0
  end
end
times.each { |name, both| puts "#{name} #{both.map { |values| values.join(' ') }.join(' | ')}" }
