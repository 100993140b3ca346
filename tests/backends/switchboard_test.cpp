// Messages between workers, and from the operator, over real channels; the test holds the workers' ends.
#include "backends/switchboard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace drover::backends {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using testing::HasSubstr;

/// Pools shop (slots 1 to 3) and blog (slot 1), whose present incarnations are 1 unless told otherwise.
class SwitchboardTest : public testing::Test {
 protected:
  struct Worker {
    ipc::PeerId peer;
    std::unique_ptr<ipc::Channel> channel;
    base::UniqueFd end;
    std::string rest;
  };

  Worker worker(std::uint32_t pool, std::uint32_t slot, base::Incarnation incarnation = 1) {
    auto ends = ipc::Channel::pair();
    EXPECT_TRUE(ends);
    Worker out{{pool, slot, incarnation}, nullptr, std::move(ends->second), {}};
    ipc::ChannelHandlers handlers;
    handlers.sync_line = [](const std::string& key) { return "{\"type\":\"state:sync\",\"data\":{\"key\":\"" + key + "\"}}"; };
    out.channel = std::make_unique<ipc::Channel>(io_, std::move(ends->first), std::move(handlers));
    board_.add(out.peer, {static_cast<pid_t>(1000 + slot), (pool == 0 ? "shop." : "blog.") + std::to_string(slot)}, *out.channel);
    return out;
  }
  void turn() {
    io_.restart();
    io_.poll();
  }
  /// All lines that have come to a worker.
  std::vector<json::object> heard(Worker& worker) {
    turn();
    std::string bytes(64 * 1024, '\0');
    const ssize_t got = ::recv(worker.end.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    std::vector<json::object> out;
    if (got <= 0) return out;
    worker.rest.append(bytes, 0, static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = worker.rest.find('\n')) != std::string::npos; worker.rest.erase(0, end + 1)) {
      out.push_back(json::parse(worker.rest.substr(0, end)).as_object());
    }
    return out;
  }
  /// Runs the loop, timers too, until `what` holds.
  template <class What>
  bool wait(What what) {
    const auto until = base::Clock::now() + 10s;
    while (!what()) {
      if (base::Clock::now() > until) return false;
      io_.restart();
      io_.run_one_for(20ms);
    }
    return true;
  }
  AnswerWatcher noting() {
    return [this](const WorkerAnswer& answer) { answers_.push_back(answer); };
  }

  boost::asio::io_context io_{1};
  base::Incarnation present_ = 1;
  Switchboard board_{io_,
                     {.pool = [](std::string_view name) -> std::optional<std::uint32_t> {
                        if (name == "shop") return 0;
                        if (name == "blog") return 1;
                        return std::nullopt;
                      },
                      .present = [this](std::uint32_t pool, std::uint32_t slot) -> std::optional<base::Incarnation> {
                        if (slot == 0 || slot > (pool == 0 ? 3U : 1U)) return std::nullopt;
                        return present_;
                      }}};
  std::vector<WorkerAnswer> answers_;
};

TEST_F(SwitchboardTest, ToOneWorker_InItsOwnNameWhateverItSays) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  board_.route(one.peer, {{"type", "hello"}, {"target", 2}, {"from", 1}, {"worker", "shop.9"}, {"data", 7}});
  const auto lines = heard(two);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].at("data"), 7);
  EXPECT_EQ(lines[0].at("from"), 1001);
  EXPECT_EQ(lines[0].at("worker"), "shop.1");
  EXPECT_TRUE(heard(one).empty());
}

TEST_F(SwitchboardTest, ToAnotherPoolsWorker_AndToAWholePool) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  Worker blog = worker(1, 1);
  board_.route(one.peer, {{"type", "a"}, {"target", "blog.1"}});
  board_.route(blog.peer, {{"type", "b"}, {"target", "shop"}});
  EXPECT_EQ(heard(blog).at(0).at("type"), "a");
  EXPECT_EQ(heard(one).at(0).at("type"), "b");
  EXPECT_EQ(heard(two).at(0).at("type"), "b");
}

TEST_F(SwitchboardTest, Broadcast_ReachesAllOfThePool_TheSenderToo) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  Worker blog = worker(1, 1);
  board_.route(one.peer, {{"type", "all"}, {"broadcast", true}});
  EXPECT_EQ(heard(one).size(), 1U);
  EXPECT_EQ(heard(two).size(), 1U);
  EXPECT_TRUE(heard(blog).empty());
}

TEST_F(SwitchboardTest, AMessageGoesToThePresentIncarnation) {
  Worker one = worker(0, 1);
  Worker old = worker(0, 2, 1);
  Worker young = worker(0, 2, 2);
  present_ = 2;
  board_.route(one.peer, {{"type", "a"}, {"target", 2}});
  EXPECT_TRUE(heard(old).empty());
  EXPECT_EQ(heard(young).size(), 1U);
}

TEST_F(SwitchboardTest, Request_IsAnsweredUnderTheAskersOwnId) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  board_.route(one.peer, {{"type", "ask"}, {"target", "shop.2"}, {"id", "mine"}});
  const auto asked = heard(two);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_NE(asked[0].at("id"), "mine") << "ids of different askers may be the same";
  board_.answer(two.peer, {{"type", "response"}, {"originalId", asked[0].at("id")}, {"data", 42}, {"error", nullptr}});
  const auto answered = heard(one);
  ASSERT_EQ(answered.size(), 1U);
  EXPECT_EQ(answered[0].at("originalId"), "mine");
  EXPECT_EQ(answered[0].at("data"), 42);
  EXPECT_EQ(answered[0].at("worker"), "shop.2");
  board_.answer(two.peer, {{"type", "response"}, {"originalId", asked[0].at("id")}, {"data", 43}});
  EXPECT_TRUE(heard(one).empty()) << "once";
  EXPECT_EQ(board_.undelivered(0).late_response, 1U);
}

TEST_F(SwitchboardTest, AnswerOfAnotherThanTheAsked_IsDroppedAndCounted) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  Worker three = worker(0, 3);
  board_.route(one.peer, {{"type", "ask"}, {"target", 2}, {"id", 5}});
  const auto asked = heard(two);
  ASSERT_EQ(asked.size(), 1U);
  board_.answer(three.peer, {{"type", "response"}, {"originalId", asked[0].at("id")}, {"data", "forged"}});
  EXPECT_TRUE(heard(one).empty());
  EXPECT_EQ(board_.undelivered(0).late_response, 1U);
  board_.answer(two.peer, {{"type", "response"}, {"originalId", asked[0].at("id")}, {"data", "true"}});
  const auto answered = heard(one);
  ASSERT_EQ(answered.size(), 1U);
  EXPECT_EQ(answered[0].at("originalId"), 5);
}

TEST_F(SwitchboardTest, UnknownTargets_AreCounted_AndAnErrorForWhoAsked) {
  Worker one = worker(0, 1);
  board_.route(one.peer, {{"type", "a"}, {"target", 9}, {"id", "x"}});
  board_.route(one.peer, {{"type", "a"}, {"target", "nobody.1"}, {"id", "x"}});
  board_.route(one.peer, {{"type", "a"}, {"target", json::array{1}}, {"id", "x"}});
  board_.route(one.peer, {{"type", "a"}, {"target", "shop.99"}});
  const auto errors = heard(one);
  ASSERT_EQ(errors.size(), 3U);
  for (const json::object& each : errors) {
    EXPECT_EQ(each.at("originalId"), "x");
    EXPECT_THAT(std::string(each.at("error").at("message").as_string()), HasSubstr("unknown target"));
  }
  EXPECT_EQ(board_.undelivered(0).unknown_target, 4U);
}

TEST_F(SwitchboardTest, AWorkerWithoutAChannel_IsAnError) {
  Worker one = worker(0, 1);
  board_.route(one.peer, {{"type", "a"}, {"target", 2}, {"id", "x"}});
  const auto errors = heard(one);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_THAT(std::string(errors[0].at("error").at("message").as_string()), HasSubstr("no channel"));
  EXPECT_EQ(board_.undelivered(0).no_channel, 1U);
}

TEST_F(SwitchboardTest, WhoWaitsForOneThatEnds_IsTold) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  board_.route(one.peer, {{"type", "ask"}, {"target", 2}, {"id", "x"}});
  board_.remove(two.peer, "has ended");
  const auto told = heard(one);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].at("error").at("message"), "shop.2 has ended");
}

TEST_F(SwitchboardTest, ARequestsTimeIsOver_TheAskerIsTold_AndALateAnswerDropped) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  board_.route(one.peer, {{"type", "ask"}, {"target", 2}, {"id", "slow"}, {"timeout", 60'000}});
  board_.route(one.peer, {{"type", "ask"}, {"target", 2}, {"id", "quick"}, {"timeout", 20}});
  const auto asked = heard(two);
  ASSERT_EQ(asked.size(), 2U);
  std::vector<json::object> told;
  ASSERT_TRUE(wait([&] { return !(told = heard(one)).empty(); }));
  EXPECT_EQ(told.at(0).at("originalId"), "quick");
  board_.answer(two.peer, {{"type", "response"}, {"originalId", asked[1].at("id")}});
  EXPECT_TRUE(heard(one).empty());
  EXPECT_EQ(board_.undelivered(0).late_response, 1U);
}

TEST_F(SwitchboardTest, MoreRequestsThanMayWait_AreRefused_EachIsToldOfItsEnd) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  const std::size_t most = ipc::PendingRequests::kMostPerAsker;
  for (std::size_t i = 0; i < most + 3; ++i) board_.route(one.peer, {{"type", "ask"}, {"target", 2}, {"id", i}, {"timeout", 1}});
  EXPECT_EQ(board_.undelivered(0).too_many, 3U);
  std::vector<json::object> told;
  ASSERT_TRUE(wait([&] {
    for (auto& each : heard(one)) told.push_back(std::move(each));
    return told.size() == most + 3;
  }));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(told[i].at("originalId"), most + i) << "at once";
    EXPECT_THAT(json::serialize(told[i].at("error")), HasSubstr("too many requests"));
  }
  for (std::size_t i = 0; i < most; ++i) EXPECT_EQ(told[3 + i].at("originalId"), i);
}

TEST_F(SwitchboardTest, Sync_ReachesAllOfThePoolButTheSetter) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  Worker blog = worker(1, 1);
  board_.sync(0, "colour", one.peer);
  EXPECT_TRUE(heard(one).empty());
  EXPECT_EQ(heard(two).at(0).at("type"), "state:sync");
  EXPECT_TRUE(heard(blog).empty());
}

TEST_F(SwitchboardTest, Operator_SendsToOneAndToAll) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  EXPECT_EQ(board_.send({"shop", 2}, "hello", 1).value(), 1U);
  EXPECT_EQ(board_.send({"shop", {}}, "all", 2).value(), 2U);
  EXPECT_EQ(heard(one).size(), 1U);
  const auto lines = heard(two);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_FALSE(lines[0].contains("worker")) << "it comes from drover itself";
}

TEST_F(SwitchboardTest, Operator_IsToldWhyNot) {
  Worker one = worker(0, 1);
  EXPECT_EQ(board_.send({"nobody", {}}, "a", 1).error().code, ENOENT);
  EXPECT_EQ(board_.send({"shop", 4}, "a", 1).error().code, ENOENT);
  EXPECT_EQ(board_.send({"shop", 2}, "a", 1).error().code, ENOTCONN);
  EXPECT_EQ(board_.send({"blog", {}}, "a", 1).error().code, ENOTCONN);
  for (const char* type : {"", "state:set", "response", "NODE_CLUSTER"}) EXPECT_EQ(board_.send({"shop", 1}, type, 1).error().code, EINVAL) << type;
  EXPECT_EQ(board_.send({"shop", 1}, "a", json::string(ipc::Channel::kMaxLine, 'x')).error().code, EMSGSIZE);
  EXPECT_EQ(board_.request({"shop", 1}, "a", 1, 0ms, noting()).error().code, EINVAL);
  EXPECT_TRUE(heard(one).empty());
}

TEST_F(SwitchboardTest, Operator_AsksAll_EachAnswersEndsOrTimesOut_TheLastSaysSo) {
  Worker one = worker(0, 1);
  Worker two = worker(0, 2);
  Worker three = worker(0, 3);
  ASSERT_TRUE(board_.request({"shop", {}}, "ask", "how", 50ms, noting()));
  EXPECT_TRUE(answers_.empty());
  const auto asked = heard(one);
  ASSERT_EQ(asked.size(), 1U);
  board_.answer(one.peer, {{"type", "response"}, {"originalId", asked[0].at("id")}, {"data", "fine"}, {"error", nullptr}});
  board_.remove(two.peer, "has ended");
  ASSERT_TRUE(wait([&] { return answers_.size() == 3; }));
  EXPECT_EQ(answers_[0].worker, "shop.1");
  EXPECT_TRUE(answers_[0].ok);
  EXPECT_EQ(answers_[0].data, "fine");
  EXPECT_FALSE(answers_[1].ok);
  EXPECT_EQ(answers_[1].error, "shop.2 has ended");
  EXPECT_FALSE(answers_[1].last);
  EXPECT_EQ(answers_[2].worker, "shop.3");
  EXPECT_EQ(answers_[2].error, "no answer within 50ms");
  EXPECT_TRUE(answers_[2].last);
  EXPECT_EQ(heard(three).size(), 1U);
}

TEST_F(SwitchboardTest, Operator_ForgetsARequest_NobodyIsCalled) {
  Worker one = worker(0, 1);
  const auto number = board_.request({"shop", 1}, "ask", 1, 5s, noting());
  ASSERT_TRUE(number);
  const auto asked = heard(one);
  ASSERT_EQ(asked.size(), 1U);
  board_.forget(*number);
  board_.answer(one.peer, {{"type", "response"}, {"originalId", asked[0].at("id")}});
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(board_.undelivered(0).late_response, 1U);
}

TEST_F(SwitchboardTest, Operator_HasSoManyRequestsAtOnce) {
  Worker one = worker(0, 1);
  for (std::size_t i = 0; i < Switchboard::kOperatorRequestsMost; ++i) ASSERT_TRUE(board_.request({"shop", 1}, "ask", 1, 5s, noting()));
  EXPECT_EQ(board_.request({"shop", 1}, "ask", 1, 5s, noting()).error().code, EBUSY);
}

}  // namespace
}  // namespace drover::backends
