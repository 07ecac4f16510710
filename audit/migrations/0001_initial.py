
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
                ('interaction', models.SmallIntegerField(choices=[(1, 'read'), (2, 'vread'), (3, 'update'), (4, 'patch'), (5, 'delete'), (6, 'history-instance'), (7, 'history-type'), (8, 'history-system'), (9, 'create'), (10, 'search-type'), (11, 'search-system'), (12, 'capabilities'), (13, 'transaction'), (14, 'batch'), (15, 'operation'), (16, 'login'), (17, 'logout'), (18, 'refresh')])),
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
