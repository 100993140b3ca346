// Real processes, each in a state of its own.
#include "backends/diagnosis.hpp"

#include "backends/listening_sockets.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr base::Millis kPatience = 20s;

/// A Python program that is killed with its test; `ready()` reads the line that it prints.
class Program {
 public:
  explicit Program(const std::string& code) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    output_.reset(ends[0]);
    const base::UniqueFd write_end(ends[1]);
    pid_ = fork();
    if (pid_ == 0) {
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(write_end.get(), STDOUT_FILENO);
      execlp("python3", "python3", "-c", code.c_str(), nullptr);
      _exit(127);
    }
    setpgid(pid_, pid_);
  }
  ~Program() {
    kill(-pid_, SIGKILL);
    kill(-pid_, SIGCONT);
    waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;

  std::string line() const {
    std::string out;
    for (char c = 0; read(output_.get(), &c, 1) == 1 && c != '\n';) out += c;
    return out;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  base::UniqueFd output_;
};

/// Looks until it sees `condition` (the program may still be on its way there).
Diagnosis await(const std::vector<pid_t>& tree, Condition condition, std::uint16_t port = 0, const std::string& words = "") {
  const auto deadline = base::Clock::now() + kPatience;
  for (;;) {
    Diagnosis found = diagnose(tree, port);
    if (found.condition == condition && found.text.find(words) != std::string::npos) return found;
    if (base::Clock::now() > deadline) {
      ADD_FAILURE() << "not " << to_text(condition) << " (" << words << ") but " << found.text;
      return found;
    }
    usleep(2000);
  }
}

const std::string kUp = "import os, sys, time, threading, socket, signal\ndef up(word='up'): os.write(1, (str(word) + '\\n').encode())\n";

const std::string kDeadlock = kUp + R"(
a, b = threading.Lock(), threading.Lock()
both = threading.Barrier(2)
def take(first, second):
    with first:
        both.wait()
        with second: pass
)";

TEST(Diagnosis, TwoThreadsThatHoldEachOthersLocksAreDeadlocked) {
  const Program program(kDeadlock + R"(
pair = [threading.Thread(target=take, args=order) for order in ((a, b), (b, a))]
for each in pair: each.start()
up()
for each in pair: each.join())");
  program.line();
  const auto found = await({program.pid()}, Condition::deadlocked, 0, "3 threads");
  EXPECT_EQ(found.text, "deadlocked: 3 threads wait in futex");
}

TEST(Diagnosis, DeadlockBehindAnAcceptingThreadIsSeenWithItsQueue) {
  const Program program(kDeadlock + R"(
server = socket.create_server(('127.0.0.1', 0), backlog=16)
for order in ((a, b), (b, a)): threading.Thread(target=take, args=order, daemon=True).start()
up(server.getsockname()[1])
a.acquire()
)");
  const auto port = static_cast<std::uint16_t>(std::stoi(program.line()));
  EXPECT_THAT(await({program.pid()}, Condition::deadlocked, port, "3 threads").text, ::testing::Not(HasSubstr("queue")));
  std::vector<base::UniqueFd> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    if (i == 0) await({program.pid()}, Condition::deadlocked, port, "; 1 connection waits in its accept queue");
  }
  await({program.pid()}, Condition::deadlocked, port, "; 3 connections wait in its accept queue");
}

TEST(Diagnosis, AcceptingThreadWakesNobody) {
  const Program program(kDeadlock + R"(
server = socket.create_server(('127.0.0.1', 0))
for order in ((a, b), (b, a)): threading.Thread(target=take, args=order, daemon=True).start()
up()
server.accept())");
  program.line();
  EXPECT_THAT(await({program.pid()}, Condition::deadlocked, 0, "2 threads wait in futex").text, HasSubstr(", 1 in accept4"));
}

TEST(Diagnosis, LockWithATimeLimitIsNoDeadlock) {
  const Program program(kUp + "lock = threading.Lock()\nlock.acquire()\nup()\nlock.acquire(timeout=1000)");
  program.line();
  EXPECT_EQ(await({program.pid()}, Condition::blocked, 0, "futex").text, "blocked: 1 thread waits in futex (with a time limit)");
}

TEST(Diagnosis, OneThreadElsewhereMayStillFreeTheLocks) {
  const Program program(kDeadlock + R"(
for order in ((a, b), (b, a)): threading.Thread(target=take, args=order, daemon=True).start()
up()
time.sleep(1000))");
  program.line();
  EXPECT_THAT(await({program.pid()}, Condition::blocked, 0, "2 threads wait in futex").text, HasSubstr(", 1 in clock_nanosleep"));
}

TEST(Diagnosis, SleeperIsBlocked) {
  const Program program(kUp + "up()\ntime.sleep(1000)");
  program.line();
  EXPECT_EQ(await({program.pid()}, Condition::blocked, 0, "sleep").text, "blocked: 1 thread waits in clock_nanosleep");
}

TEST(Diagnosis, ReaderOfAPipeIsBlockedByIt) {
  const Program program(kUp + "r, w = os.pipe()\nup()\nos.read(r, 1)");
  program.line();
  EXPECT_EQ(await({program.pid()}, Condition::blocked, 0, "read").text, "blocked: 1 thread waits in read (a pipe)");
}

TEST(Diagnosis, ReceiverIsBlockedByASocket) {
  const Program program(kUp + "mine, other = socket.socketpair()\nup()\nmine.recv(1)");
  program.line();
  EXPECT_EQ(await({program.pid()}, Condition::blocked, 0, "recv").text, "blocked: 1 thread waits in recvfrom (a socket)");
}

TEST(Diagnosis, SpinningOneIsBusyThoughItsOtherThreadsWait) {
  const Program program(kDeadlock + R"(
for order in ((a, b), (b, a)): threading.Thread(target=take, args=order, daemon=True).start()
up()
while True: pass)");
  program.line();
  EXPECT_THAT(await({program.pid()}, Condition::busy, 0, "runs").text, HasSubstr("in futex"));
}

TEST(Diagnosis, StoppedOneIsStoppedAndContinues) {
  const Program program(kUp + "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nup()\nwhile True: pass");
  program.line();
  await({program.pid()}, Condition::busy);
  kill(program.pid(), SIGSTOP);
  EXPECT_EQ(await({program.pid()}, Condition::stopped, 0, "2 threads").text, "stopped: 2 threads are stopped");
  kill(program.pid(), SIGCONT);
  await({program.pid()}, Condition::busy);
}

const std::string kParent = kUp + R"(
child = os.fork()
if child == 0:
    CHILD
up(child)
PARENT
)";
std::string family(std::string child, std::string parent) {
  std::string out = kParent;
  out.replace(out.find("CHILD"), 5, child);
  out.replace(out.find("PARENT"), 6, parent);
  return out;
}

TEST(Diagnosis, ParentThatWaitsForItsChildIsAsItsChild) {
  const Program deadlocked(family("lock = threading.Lock(); lock.acquire(); lock.acquire()", "os.wait()"));
  const pid_t its_child = std::stoi(deadlocked.line());
  EXPECT_THAT(await({deadlocked.pid(), its_child}, Condition::deadlocked).text,
              AllOf(HasSubstr("1 thread waits in"), HasSubstr("futex"), HasSubstr("wait4")));
  const Program spinning(family("\n    while True: pass", "os.wait()"));
  const pid_t spinner = std::stoi(spinning.line());
  await({spinning.pid(), spinner}, Condition::busy);
}

TEST(Diagnosis, StoppedMainIsStoppedWhateverItsChildrenDo) {
  const Program program(family("\n    while True: pass", "time.sleep(1000)"));
  const pid_t child = std::stoi(program.line());
  kill(program.pid(), SIGSTOP);
  await({program.pid(), child}, Condition::stopped);
  kill(program.pid(), SIGCONT);
  await({program.pid(), child}, Condition::busy);
  kill(child, SIGSTOP);
  EXPECT_THAT(await({program.pid(), child}, Condition::stopped).text, HasSubstr("clock_nanosleep"));
}

TEST(Diagnosis, NobodyIsBusySoThatNobodyIsHarmed) {
  EXPECT_EQ(diagnose({}, 0).condition, Condition::busy);
  const std::vector<pid_t> gone{0x3fffff};
  const auto found = diagnose(gone, 1);
  EXPECT_EQ(found.condition, Condition::busy);
  EXPECT_EQ(found.text, "busy: nothing of it could be read in /proc");
}

TEST(Diagnosis, LooksAtNoMoreThreadsThanItsBound) {
  const Program program(kUp + R"(
threading.stack_size(65536)
lock = threading.Lock()
lock.acquire()
for _ in range(300): threading.Thread(target=lock.acquire, daemon=True).start()
up()
lock.acquire())");
  program.line();
  const auto found = await({program.pid()}, Condition::blocked, 0, "more threads");
  EXPECT_THAT(found.text, HasSubstr("256 threads wait in futex"));
  const std::vector<pid_t> many(kMaxDiagnosedProcesses + 1, getppid());
  EXPECT_THAT(diagnose(many, 0).text, HasSubstr("more threads than were looked at"));
}

/// As one who may not look: another user's process.
TEST(Diagnosis, SaysWhatMayNotBeRead) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody who may see less";
  const Program program(kUp + "lock = threading.Lock()\nlock.acquire()\nup()\nlock.acquire()");
  program.line();
  await({program.pid()}, Condition::deadlocked);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);
  const pid_t stranger = fork();
  if (stranger == 0) {
    constexpr uid_t kNobody = 65534;
    if (setresuid(kNobody, kNobody, kNobody) != 0) _exit(1);
    const std::vector<pid_t> tree{program.pid()};
    const std::string text = diagnose(tree, 0).text;
    _exit(write(write_end.get(), text.data(), text.size()) > 0 ? 0 : 1);
  }
  write_end.reset();
  std::string text(1024, '\0');
  const ssize_t got = read(read_end.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  waitpid(stranger, nullptr, 0);
  EXPECT_EQ(text, "blocked: 1 thread sleeps; what they wait for may not be read (CAP_SYS_PTRACE would allow it)");
}

TEST(ListeningSockets, TellAddressAndQueue) {
  const base::UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::uint16_t port = ntohs(address.sin_port);
  ASSERT_TRUE(listening_sockets(port));
  EXPECT_TRUE(listening_sockets(port)->empty()) << "bound, and not listening yet";
  ASSERT_EQ(listen(server.get(), 8), 0);
  const base::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto sockets = listening_sockets(port);
  ASSERT_EQ(sockets->size(), 1U);
  EXPECT_EQ(sockets->front().fit, Fit::exact);
  EXPECT_EQ(sockets->front().waiting, 1U);
  EXPECT_GT(sockets->front().inode, 0U);
}

/// A Node program's private socket has a loopback address of its own, and the port may be somebody else's at 127.0.0.1.
TEST(ListeningSockets, FitTheAddressThatIsAskedAbout) {
  constexpr std::uint32_t kOther = 0x7f4d0102;  // 127.77.1.2
  const base::UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(kOther);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  ASSERT_EQ(listen(server.get(), 8), 0);
  const base::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::uint16_t port = ntohs(address.sin_port);
  EXPECT_EQ(listening_sockets(port, kOther)->front().fit, Fit::exact);
  EXPECT_EQ(listening_sockets(port)->front().fit, Fit::none);
  const std::vector<pid_t> self{getpid()};
  EXPECT_THAT(diagnose(self, port, kOther).text, HasSubstr("; 1 connection waits in its accept queue"));
  EXPECT_THAT(diagnose(self, port).text, ::testing::Not(HasSubstr("queue")));
}

}  // namespace
}  // namespace drover::backends
