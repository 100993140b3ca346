// Channels of real workers: what an operator says and asks, shared state on his behalf. The worker is Python's, and answers what asks.
#include "supervisor_case.hpp"

#include <boost/json/object.hpp>

#include <cerrno>

namespace drover::backends {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

class SupervisorChannelTest : public fakes::SupervisorCase {
 protected:
  SupervisorChannelTest() {
    config_.pools[0].command = {"python3", CHANNEL_WORKER};
    config_.pools[0].env = {{"CHANNEL_ECHO", "1"}};
  }
  AnswerWatcher noting() {
    return [this](const WorkerAnswer& answer) { answers_.push_back(answer); };
  }
  std::vector<WorkerAnswer> answers_;
};

TEST_F(SupervisorChannelTest, OperatorAsksAll_AllAnswer) {
  begin_ready();
  ASSERT_TRUE(wait([&] { return worker(1).eligible && worker(2).eligible; }));
  ASSERT_TRUE(supervisor_->request({"shop", {}}, "ask", "how", 20s, noting()));
  ASSERT_TRUE(wait([&] { return answers_.size() == 2; }));
  for (const WorkerAnswer& each : answers_) {
    EXPECT_TRUE(each.ok) << each.worker;
    EXPECT_EQ(each.data, "how");
  }
  EXPECT_TRUE(answers_[1].last);
  EXPECT_NE(answers_[0].worker, answers_[1].worker);
  EXPECT_EQ(supervisor_->send_message({"shop", {}}, "news", 1).value(), 2U);
  EXPECT_EQ(supervisor_->send_message({"shop", 9}, "news", 1).error().code, ENOENT);
  EXPECT_EQ(supervisor_->send_message({"shop", 1}, "state:set", 1).error().code, EINVAL);
  EXPECT_EQ(worker(1).channel, "open");
  EXPECT_EQ(stop(), 0);
}

TEST_F(SupervisorChannelTest, WhoDiesBeforeItAnswers_IsAnAnswerToo) {
  config_.pools[0].env.clear();
  begin_ready();
  ASSERT_TRUE(supervisor_->request({"shop", 1}, "ask", 1, 60s, noting()));
  ASSERT_TRUE(wait([&] { return worker(1).messages_out == 1; }));
  ::kill(worker(1).pid, SIGKILL);
  ASSERT_TRUE(wait([&] { return answers_.size() == 1; }));
  EXPECT_FALSE(answers_[0].ok);
  EXPECT_TRUE(answers_[0].last);
  EXPECT_EQ(supervisor_->status().pools[0].channel_closed.at("peer"), 1U);
}

TEST_F(SupervisorChannelTest, OperatorsState_IsSetWatchedAndExpires) {
  begin_ready();
  std::vector<json::object> seen;
  const auto watch = supervisor_->watch_state("shop", "col*", [&](const json::object& change) { seen.push_back(change); });
  ASSERT_TRUE(watch);
  EXPECT_TRUE(supervisor_->state("shop", {{"type", "state:set"}, {"key", "size"}, {"value", 1}}));
  EXPECT_TRUE(supervisor_->state("shop", {{"type", "state:set"}, {"key", "colour"}, {"value", "red"}, {"expires", 50}}));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0], (json::object{{"key", "colour"}, {"value", "red"}}));
  ASSERT_TRUE(wait([&] { return seen.size() == 2; })) << "it expires by itself";
  EXPECT_EQ(seen[1], (json::object{{"key", "colour"}, {"oldValue", "red"}}));
  supervisor_->unwatch_state(*watch);
  EXPECT_TRUE(supervisor_->state("shop", {{"type", "state:set"}, {"key", "colour"}, {"value", "blue"}}));
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_EQ(supervisor_->status().pools[0].state_keys, 2U);
  EXPECT_EQ(supervisor_->state("nobody", {{"type", "state:get"}, {"key", "a"}}).error().code, ENOENT);
  EXPECT_EQ(supervisor_->state("shop", {{"type", "state:subscribe"}}).error().code, EINVAL);
}

}  // namespace
}  // namespace drover::backends
