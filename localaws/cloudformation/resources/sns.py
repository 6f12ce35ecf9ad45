"""SNS: Topic, Subscription, TopicPolicy."""

from __future__ import annotations

import json
from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, resource, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of

_TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId", "FifoTopic", "ContentBasedDeduplication", "SignatureVersion", "TracingConfig")
_SUBSCRIPTION_ATTRIBUTES = ("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "DeliveryPolicy", "RedrivePolicy")


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else text_of(value)


@resource("AWS::SNS::Topic")
class Topic:
    """A topic, with the subscriptions that it names itself."""

    def create(self, request: Request) -> Made:
        sns, properties = request.client("sns"), request.properties
        name = request.given("TopicName", 256)
        arn = f"arn:aws:sns:{request.region}:{request.account}:{name}"
        if "TopicName" in properties and unless_gone(sns.get_topic_attributes, TopicArn=arn):
            raise Failed(f"{name} already exists")
        attributes = {key: text_of(properties[key]) for key in _TOPIC_ATTRIBUTES if key in properties}
        arn = sns.create_topic(Name=name, Attributes=attributes, Tags=tag_list(properties))["TopicArn"]
        request.claim(arn)
        self._subscribe(request, arn)
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def update(self, request: Request) -> Made:
        sns, arn = request.client("sns"), request.physical_id
        for key in _TOPIC_ATTRIBUTES:
            if request.changed(key):
                sns.set_topic_attributes(TopicArn=arn, AttributeName=key, AttributeValue=text_of(request.properties.get(key, "")))
        added, removed = tag_changes(request)
        if added:
            sns.tag_resource(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            sns.untag_resource(ResourceArn=arn, TagKeys=removed)
        self._subscribe(request, arn)
        return Made(arn)

    def _subscribe(self, request: Request, arn: str) -> None:
        sns = request.client("sns")
        old, new = (request.before.get("Subscription") or []), (request.properties.get("Subscription") or [])
        for item in new:
            if item not in old:
                sns.subscribe(TopicArn=arn, Protocol=item["Protocol"], Endpoint=item["Endpoint"])
        dropped = [item for item in old if item not in new]
        if dropped:
            for found in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
                if {"Protocol": found["Protocol"], "Endpoint": found["Endpoint"]} in dropped and found["SubscriptionArn"].startswith("arn:"):
                    sns.unsubscribe(SubscriptionArn=found["SubscriptionArn"])

    def delete(self, request: Request) -> None:
        unless_gone(request.client("sns").delete_topic, TopicArn=request.physical_id)


@resource("AWS::SNS::Subscription")
class Subscription:
    """A subscription; one that a person still has to confirm counts as made."""

    def create(self, request: Request) -> Made:
        properties = request.properties
        attributes = {key: _text(properties[key]) for key in _SUBSCRIPTION_ATTRIBUTES if key in properties}
        arn = request.client("sns").subscribe(TopicArn=properties["TopicArn"], Protocol=properties["Protocol"],
                                              Endpoint=text_of(properties.get("Endpoint", "")), Attributes=attributes,
                                              ReturnSubscriptionArn=True)["SubscriptionArn"]
        return Made(arn, {"Arn": arn})

    def update(self, request: Request) -> Made:
        for key in _SUBSCRIPTION_ATTRIBUTES:
            if request.changed(key):
                request.client("sns").set_subscription_attributes(SubscriptionArn=request.physical_id, AttributeName=key,
                                                                  AttributeValue=_text(request.properties.get(key, "{}")))
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("sns").unsubscribe, SubscriptionArn=request.physical_id)


@resource("AWS::SNS::TopicPolicy")
class TopicPolicy:
    """The policy of one or more topics; without it a topic has its default policy again."""

    def create(self, request: Request) -> Made:
        self._put(request, request.properties["Topics"])
        return Made(request.name(128))

    def update(self, request: Request) -> Made:
        self._reset(request, [topic for topic in request.before.get("Topics") or [] if topic not in request.properties["Topics"]])
        self._put(request, request.properties["Topics"])
        return Made(request.physical_id)

    def _put(self, request: Request, topics: list[str]) -> None:
        for topic in topics:
            request.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy",
                                                       AttributeValue=json.dumps(request.properties["PolicyDocument"]))

    def _reset(self, request: Request, topics: list[str]) -> None:
        for topic in topics:
            account = topic.split(":")[4]
            default = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [{
                "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": {"AWS": "*"},
                "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:SetTopicAttributes", "SNS:GetTopicAttributes", "SNS:DeleteTopic",
                           "SNS:ListSubscriptionsByTopic", "SNS:AddPermission", "SNS:RemovePermission"],
                "Resource": topic, "Condition": {"StringEquals": {"AWS:SourceOwner": account}}}]}
            unless_gone(request.client("sns").set_topic_attributes, TopicArn=topic, AttributeName="Policy",
                        AttributeValue=json.dumps(default))

    def delete(self, request: Request) -> None:
        self._reset(request, request.properties.get("Topics") or [])
