
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditRecord',
            fields=[
                ('pk', models.CompositePrimaryKey('bucket', 'at', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('bucket', models.IntegerField()),
                ('id', models.UUIDField()),
                ('at', models.DateTimeField()),
                ('request_id', models.UUIDField()),
                ('user_id', models.TextField()),
                ('username', models.TextField()),
                ('role', models.TextField()),
                ('client', models.TextField()),
                ('interaction', models.SmallIntegerField()),
                ('type', models.SmallIntegerField(null=True)),
                ('resource_id', models.TextField(null=True)),
                ('version', models.IntegerField(null=True)),
                ('pat', models.BigIntegerField(null=True)),
                ('patient', models.TextField(null=True)),
                ('query', models.TextField(null=True)),
                ('outcome', models.SmallIntegerField()),
                ('status', models.SmallIntegerField()),
                ('detail', models.TextField(null=True)),
            ],
            options={
                'verbose_name': 'audit record',
                'verbose_name_plural': 'audit records',
                'db_table': 'audit_record',
                'indexes': [models.Index(condition=models.Q(('pat__isnull', False)), fields=['pat', 'at'], name='audit_record_pat_at')],
            },
        ),
    ]
