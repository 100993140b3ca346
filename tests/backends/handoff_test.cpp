// Connections given to workers, over real sockets; the test plays the workers.
#include "backends/handoff.hpp"

#include "backends/endpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr base::Millis kPatience = 20s;

Listening listener() {
  config::Bind bind;
  bind.host = "127.0.0.1";
  return std::move(*Listening::open(bind, "listener web"));
}

class HandoffTest : public ::testing::Test {
 protected:
  struct Given {
    std::uint64_t number;
    base::UniqueFd connection;
  };
  struct FakeWorker {
    std::vector<Given> given;
    std::uint32_t open = 0;  ///< connections that it says it has
    std::uint32_t share = 100;
    std::size_t total = 0;
  };

  HandoffTest() {
    pool.name = "shop";
    pool.queue.wait = kPatience;
  }
  ~HandoffTest() override { handoff.reset(); }

  static Handoff::Outlet outlet(std::uint32_t slot, base::Incarnation incarnation = 1) { return {slot, incarnation}; }
  Handoff& make() {
    handoff.emplace(io, pool, 42,
                    Handoff::Hooks{.give =
                                       [this](const Handoff::Outlet& to, base::UniqueFd connection) {
                                         EXPECT_TRUE(connection);
                                         if (to == deaf) return std::uint64_t{0};
                                         FakeWorker& one = workers[to];
                                         one.given.push_back({++number, std::move(connection)});
                                         ++one.total;
                                         return number;
                                       },
                                   .load =
                                       [this](const Handoff::Outlet& of) {
                                         return Handoff::Load{workers[of].open, 0, workers[of].share};
                                       }});
    handoff->add_listener(web.fd());
    return *handoff;
  }
  template <class Condition>
  bool until(Condition&& condition) {
    const auto deadline = base::Clock::now() + kPatience;
    while (!condition()) {
      if (base::Clock::now() > deadline) return false;
      io.restart();
      io.run_one_for(5ms);
    }
    return true;
  }
  /// All that the loop has to do now is done.
  void settle_down() {
    io.restart();
    while (io.poll() > 0) io.restart();
  }
  std::size_t connect(int count = 1) {
    for (int i = 0; i < count; ++i) {
      base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_storage to{};
      socklen_t length = sizeof to;
      ::getsockname(web.fd(), reinterpret_cast<sockaddr*>(&to), &length);
      EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), length), 0);
      clients.push_back(std::move(fd));
    }
    return clients.size() - 1;
  }
  /// The worker answers the oldest that it has.
  void answer(const Handoff::Outlet& who, bool accepted) {
    FakeWorker& one = workers[who];
    ASSERT_FALSE(one.given.empty());
    Given given = std::move(one.given.front());
    one.given.erase(one.given.begin());
    if (accepted) served.push_back(std::move(given.connection));
    given.connection.reset();
    handoff->settled(who);
    handoff->answered(who, given.number, accepted);
  }
  void die(const Handoff::Outlet& who) {
    workers[who].given.clear();
    handoff->close(who);
    handoff->gone(who);
  }
  static bool hung_up(const base::UniqueFd& client) {
    pollfd what{client.get(), POLLIN, 0};
    char byte = 0;
    return ::poll(&what, 1, 0) == 1 && ::recv(client.get(), &byte, 1, MSG_DONTWAIT) <= 0;
  }
  bool somebody_waits_in_the_kernel() const {
    pollfd what{web.fd(), POLLIN, 0};
    return ::poll(&what, 1, 0) == 1;
  }

  boost::asio::io_context io{1};
  config::Pool pool;
  Listening web = listener();
  std::map<Handoff::Outlet, FakeWorker> workers;
  std::uint64_t number = 0;
  Handoff::Outlet deaf;  ///< has no channel
  std::vector<base::UniqueFd> clients;
  std::vector<base::UniqueFd> served;
  std::optional<Handoff> handoff;
};

TEST_F(HandoffTest, ATakenConnectionIsTheWorkersAlone) {
  make().open(outlet(1));
  connect();
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  EXPECT_EQ(handoff->under_way(outlet(1)), 1U);
  answer(outlet(1), true);
  EXPECT_EQ(handoff->under_way(outlet(1)), 0U);
  EXPECT_FALSE(hung_up(clients[0]));
  served.clear();  // had drover kept a copy, the client would see nothing
  EXPECT_TRUE(hung_up(clients[0]));
  EXPECT_EQ(handoff->counts().accepted, 1U);
  EXPECT_EQ(handoff->counts().taken, 1U);
}

TEST_F(HandoffTest, ARefusedOneGoesToAnother) {
  make().open(outlet(1));
  connect();
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  handoff->open(outlet(2));
  answer(outlet(1), false);
  ASSERT_THAT(workers[outlet(2)].given, SizeIs(1));
  answer(outlet(2), true);
  EXPECT_EQ(handoff->counts().refused, 1U);
  EXPECT_EQ(handoff->counts().given, 2U);
  EXPECT_EQ(handoff->counts().taken, 1U);
  EXPECT_FALSE(hung_up(clients[0]));
}

TEST_F(HandoffTest, OneDescriptorATimeGoesToAWorker) {
  make().open(outlet(1));
  connect(3);
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  settle_down();
  EXPECT_THAT(workers[outlet(1)].given, SizeIs(1));
  EXPECT_EQ(handoff->waiting(), 0U);  // nobody is accepted whom nobody can take
  EXPECT_TRUE(somebody_waits_in_the_kernel());
  handoff->settled(outlet(1));
  EXPECT_THAT(workers[outlet(1)].given, SizeIs(2));
  handoff->settled(outlet(1));
  handoff->settled(outlet(1));
  handoff->settled(outlet(1));  // more often than there were descriptors
  EXPECT_THAT(workers[outlet(1)].given, SizeIs(3));
}

TEST_F(HandoffTest, WhatADeadWorkerHadNotAcceptedIsServedOnceByAnother) {
  make().open(outlet(1));
  connect(3);
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  answer(outlet(1), true);      // the first is its own
  handoff->settled(outlet(1));  // the second it has in its hands, the third it has, too
  ASSERT_EQ(handoff->under_way(outlet(1)), 2U);
  handoff->open(outlet(2));
  die(outlet(1));
  EXPECT_EQ(handoff->counts().rescued, 2U);
  answer(outlet(2), true);
  answer(outlet(2), true);
  EXPECT_THAT(workers[outlet(2)].given, IsEmpty());
  EXPECT_EQ(handoff->counts().taken, 3U);
  EXPECT_EQ(handoff->counts().accepted, 3U);
  EXPECT_EQ(handoff->waiting(), 0U);
  handoff->gone(outlet(1));  // once more
  handoff->answered(outlet(1), 2, false);
  EXPECT_EQ(handoff->counts().rescued, 2U);
}

TEST_F(HandoffTest, ARescuedOneWaitsForTheNextWorker) {
  make().open(outlet(1));
  connect();
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  die(outlet(1));
  EXPECT_EQ(handoff->waiting(), 1U);
  handoff->open(outlet(1, 2));
  EXPECT_THAT(workers[outlet(1, 2)].given, SizeIs(1));
}

TEST_F(HandoffTest, WhatAllRefuseIsOfferedAgainAndDroppedInTheEnd) {
  pool.queue.wait = 300ms;
  make().open(outlet(1));
  handoff->open(outlet(2));
  const auto client = connect();
  const auto began = base::Clock::now();
  ASSERT_TRUE(until([&] {
    for (std::uint32_t slot : {1U, 2U}) {
      if (!workers[outlet(slot)].given.empty()) answer(outlet(slot), false);
    }
    return handoff->counts().dropped == 1;
  }));
  EXPECT_GE(base::Clock::now() - began, 300ms);
  EXPECT_TRUE(hung_up(clients[client]));
  EXPECT_EQ(handoff->waiting(), 0U);
  // Both were asked more than once, but not in a spin.
  EXPECT_GE(handoff->counts().refused, 4U);
  EXPECT_LE(handoff->counts().refused, 20U);
}

TEST_F(HandoffTest, WithoutAnOpenWorkerNothingIsAccepted) {
  make();
  connect();
  settle_down();
  EXPECT_TRUE(somebody_waits_in_the_kernel());
  EXPECT_EQ(handoff->counts().accepted, 0U);
  handoff->open(outlet(1));
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  answer(outlet(1), true);
  handoff->close(outlet(1));
  connect();
  settle_down();
  EXPECT_TRUE(somebody_waits_in_the_kernel());
  EXPECT_EQ(handoff->counts().accepted, 1U);
}

TEST_F(HandoffTest, NoMoreWaitThanTheBound) {
  make().open(outlet(1));
  connect(static_cast<int>(Handoff::kWaitingMost) + 20);
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  for (std::size_t i = 0; i < clients.size() && !workers[outlet(1)].given.empty(); ++i) answer(outlet(1), false);
  EXPECT_GE(handoff->waiting(), Handoff::kWaitingMost);
  EXPECT_LE(handoff->waiting(), Handoff::kWaitingMost + 1);  // the one that it was given before it refused the last
  EXPECT_TRUE(somebody_waits_in_the_kernel());
  ASSERT_TRUE(until([&] {
    if (!workers[outlet(1)].given.empty()) answer(outlet(1), true);
    return handoff->counts().taken == clients.size();
  }));
}

TEST_F(HandoffTest, RoundRobinIsEven) {
  make();
  for (std::uint32_t slot = 1; slot <= 3; ++slot) handoff->open(outlet(slot));
  for (int i = 0; i < 30; ++i) {
    connect();
    ASSERT_TRUE(until([&] { return handoff->counts().given == static_cast<std::uint64_t>(i) + 1; }));
    for (std::uint32_t slot = 1; slot <= 3; ++slot) {
      if (!workers[outlet(slot)].given.empty()) answer(outlet(slot), true);
    }
  }
  for (std::uint32_t slot = 1; slot <= 3; ++slot) EXPECT_EQ(workers[outlet(slot)].total, 10U);
}

TEST_F(HandoffTest, LeastConnectionsPrefersWhoHasFewest) {
  pool.strategy = "least-connections";
  make();
  for (std::uint32_t slot = 1; slot <= 3; ++slot) handoff->open(outlet(slot));
  workers[outlet(1)].open = 9;
  workers[outlet(3)].open = 9;
  connect();
  ASSERT_TRUE(until([&] { return handoff->counts().given == 1; }));
  EXPECT_THAT(workers[outlet(2)].given, SizeIs(1));
}

TEST_F(HandoffTest, WhoWantsNothingGetsOnlyWhatNobodyElseCanTake) {
  make();
  handoff->open(outlet(1));
  handoff->open(outlet(2));
  workers[outlet(1)].share = 0;
  connect();
  ASSERT_TRUE(until([&] { return handoff->counts().given == 1; }));
  EXPECT_THAT(workers[outlet(2)].given, SizeIs(1));
  connect();
  ASSERT_TRUE(until([&] { return handoff->counts().given == 2; }));
  EXPECT_THAT(workers[outlet(1)].given, SizeIs(1));
}

TEST_F(HandoffTest, WhoCannotBeGivenAnyIsClosedAndNothingIsLost) {
  make();
  deaf = outlet(1);
  handoff->open(outlet(1));
  connect();
  ASSERT_TRUE(until([&] { return handoff->waiting() == 1; }));
  handoff->open(outlet(2));
  ASSERT_THAT(workers[outlet(2)].given, SizeIs(1));
  EXPECT_EQ(handoff->counts().given, 1U);
}

/// The first one that is asked can't be given any: the connection goes on to its sibling at once.
TEST_F(HandoffTest, WhoCannotBeGivenAnyLeavesItToHisSibling) {
  make();
  deaf = outlet(1);
  handoff->open(outlet(1));
  handoff->open(outlet(2));
  connect(4);
  ASSERT_TRUE(until([&] {
    if (!workers[outlet(2)].given.empty()) answer(outlet(2), true);
    return handoff->counts().taken == 4;
  }));
  EXPECT_EQ(handoff->waiting(), 0U);
}

/// What travels is a copy, and there may be no descriptor for it.
TEST_F(HandoffTest, WithoutADescriptorForTheCopyItWaitsAndGoesOnLater) {
  make().open(outlet(1));
  connect(3);
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  answer(outlet(1), false);  // it waits until it is offered again
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1 && handoff->waiting() == 1; }));
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  handoff->settled(outlet(1));
  const auto waiting = handoff->waiting();
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(waiting, 1U);
  handoff->answered(outlet(1), workers[outlet(1)].given.front().number, true);
  workers[outlet(1)].given.clear();
  ASSERT_TRUE(until([&] {
    if (!workers[outlet(1)].given.empty()) answer(outlet(1), true);
    return handoff->counts().taken == 3;
  }));
}

/// It takes descriptors and never says what became of the connections: ours would be kept without end.
TEST_F(HandoffTest, WhoNeverAnswersGetsNoMoreThanTheBound) {
  make().open(outlet(1));
  connect(static_cast<int>(Handoff::kUnansweredMost) + 4);
  settle_down();
  for (std::size_t i = 0; i < Handoff::kUnansweredMost + 4; ++i) {
    handoff->settled(outlet(1));
    settle_down();
  }
  EXPECT_EQ(handoff->under_way(outlet(1)), Handoff::kUnansweredMost);
  EXPECT_EQ(handoff->counts().accepted, Handoff::kUnansweredMost);
  EXPECT_TRUE(somebody_waits_in_the_kernel());
  answer(outlet(1), true);
  EXPECT_EQ(handoff->under_way(outlet(1)), Handoff::kUnansweredMost);  // there is room for the next
  EXPECT_EQ(handoff->counts().accepted, Handoff::kUnansweredMost + 1);
}

TEST_F(HandoffTest, TellsSinceWhenAWorkerHasNotTakenItsDescriptor) {
  make().open(outlet(1));
  EXPECT_FALSE(handoff->passing_since(outlet(1)));
  connect();
  ASSERT_TRUE(until([&] { return !workers[outlet(1)].given.empty(); }));
  const auto since = handoff->passing_since(outlet(1));
  ASSERT_TRUE(since);
  EXPECT_LE(*since, base::Clock::now());
  handoff->settled(outlet(1));
  EXPECT_FALSE(handoff->passing_since(outlet(1)));
}

TEST_F(HandoffTest, AfterStopWhatWaitsIsStillGiven) {
  make().open(outlet(1));
  connect(2);
  ASSERT_TRUE(until([&] { return workers[outlet(1)].given.size() == 1; }));
  handoff->stop();
  EXPECT_EQ(handoff->waiting(), 1U);  // it was in the kernel's queue
  connect();
  answer(outlet(1), true);
  answer(outlet(1), true);
  settle_down();
  EXPECT_EQ(handoff->counts().accepted, 2U);
  EXPECT_EQ(handoff->counts().taken, 2U);
  EXPECT_TRUE(somebody_waits_in_the_kernel());  // the listener is whole, it is only not ours any more
}

TEST_F(HandoffTest, AConnectionOfItsOwnCountsNothingAndGoesToNobodyElse) {
  make().open(outlet(2));
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const base::UniqueFd mine(ends[0]);
  ASSERT_TRUE(handoff->give_own(outlet(1), base::UniqueFd(ends[1])));  // also to one that is not open yet
  ASSERT_THAT(workers[outlet(1)].given, SizeIs(1));
  EXPECT_FALSE(hung_up(mine));
  answer(outlet(1), false);
  EXPECT_TRUE(hung_up(mine));
  EXPECT_THAT(workers[outlet(2)].given, IsEmpty());
  EXPECT_EQ(handoff->counts().given + handoff->counts().refused, 0U);
}

TEST_F(HandoffTest, OwnConnectionsAreBounded) {
  make();
  int given = 0;
  for (int i = 0; i < 10; ++i) given += handoff->give_own(outlet(1), base::UniqueFd(::dup(web.fd()))) ? 1 : 0;
  EXPECT_EQ(given, 4);
  die(outlet(1));
  EXPECT_EQ(handoff->counts().rescued, 0U);
}

TEST_F(HandoffTest, WithoutDescriptorsItRestsAndGoesOnLater) {
  make().open(outlet(1));
  settle_down();
  connect(2);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const base::UniqueFd next(::dup(0));
  const rlimit none{static_cast<rlim_t>(next.get()), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::size_t turns = 0;
  for (const auto end = base::Clock::now() + 250ms; base::Clock::now() < end;) {
    io.restart();
    turns += io.run_one_for(5ms);
  }
  const auto accepted = handoff->counts().accepted;
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(accepted, 0U);
  EXPECT_LE(turns, 10U);  // a spin would have had thousands
  ASSERT_TRUE(until([&] {
    if (!workers[outlet(1)].given.empty()) answer(outlet(1), true);
    return handoff->counts().taken == 2;
  }));
}

}  // namespace
}  // namespace drover::backends
