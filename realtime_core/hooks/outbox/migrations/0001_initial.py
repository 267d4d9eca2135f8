"""The outbox's table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("number", models.BigAutoField(primary_key=True, serialize=False)),
                ("job", models.CharField(max_length=128)),
                ("queue", models.CharField(max_length=64)),
                ("key", models.CharField(max_length=128)),
                ("partition", models.SmallIntegerField()),
                ("kind", models.CharField(max_length=16)),
                ("model", models.CharField(max_length=255)),
                ("object", models.CharField(max_length=255)),
                ("at", models.FloatField()),
                ("body", models.BinaryField()),
                ("put_at", models.FloatField(null=True)),
                ("refused", models.CharField(default="", max_length=500)),
            ],
            options={
                "db_table": "realtime_outbox",
                "indexes": [
                    models.Index(
                        condition=models.Q(("put_at__isnull", True)),
                        fields=["partition", "number"],
                        name="realtime_outbox_waiting",
                    ),
                    models.Index(
                        condition=models.Q(("put_at__isnull", False)), fields=["put_at"], name="realtime_outbox_put"
                    ),
                    models.Index(fields=["model", "object"], name="realtime_outbox_subject"),
                ],
            },
        ),
    ]
